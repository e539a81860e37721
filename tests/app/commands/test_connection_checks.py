"""What the doctor says of connections and open files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.databases import settings_for

from app.commands import connection_checks
from app.commands.connection_checks import open_connections

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"


@pytest.mark.parametrize(
    ("files", "changes", "status", "told"),
    [
        (1_048_576, {}, "ok", "keeps 4096 connections open, 1000 of them from one address, of 1048576 files"),
        (1_048_576, {"proxies_count": 1}, "ok", "any number of them from one address"),
        (1_048_576, {"max_connections_per_address": 0}, "ok", "any number of them from one address"),
        (1024, {}, "warning", "may have 1024 files open, so a worker keeps 896 connections"),
        (1024, {"max_connections": 500}, "ok", "keeps 500 connections open"),
    ],
)
def test_the_doctor_compares_connections_with_files(
    files: int,
    changes: dict[str, int],
    status: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_checks, "most_open_files", lambda: files)

    finding = open_connections(settings_for(NOWHERE, tmp_path, **changes))

    assert (finding.status, told in finding.detail) == (status, True), finding.detail
