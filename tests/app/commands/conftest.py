"""Commands, as most of their tests begin with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.command_line import Portal


@pytest.fixture
def portal(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """Commands on a database that nobody has made yet; logs are ours again afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Portal(capsys, monkeypatch)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stored(portal: Portal, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """Commands on an empty database, once on each kind."""
    monkeypatch.setenv("PORTAL_DATABASE_URL", empty_database)
    return portal
