"""What the tests of payments share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.databases import settings_for
from support.live import LiveServer, live_server


@pytest.fixture
async def live_at_stripe(database: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server beside Stripe's simulator."""
    async with live_server(settings_for(database, tmp_path)) as served:
        yield served
