"""Several workers as one server: their figures add up, and they leave the database room."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text
from support.processes import ServerProcess, served

from app.database.pools import connections

pytestmark = pytest.mark.processes
ASKED = 60


async def counted(server: ServerProcess, route: str) -> int:
    exposed = (await server.http.get("/metrics")).text
    found = re.findall(
        rf'portal_request_seconds_count\{{method="GET",route="{route}",status="200"\}} ([\d.]+)', exposed
    )
    return round(sum(map(float, found)))


async def test_metrics_add_up_over_all_workers_whoever_answers(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=2) as server:
        before = await counted(server, "/healthz")
        await asyncio.gather(*(server.http.get("/healthz") for _ in range(ASKED)))

        told = [await counted(server, "/healthz") for _ in range(10)]

    assert Counter(told) == {before + ASKED: 10}


@pytest.mark.postgresql_only("SQLite has no connections to run out of")
@pytest.mark.alone
async def test_busy_workers_and_a_work_process_stay_below_a_hundred_connections(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=4) as server:
        most = 0
        for _ in range(5):
            await asyncio.gather(*(server.http.get("/licenses/branding/demo") for _ in range(200)))
            async with server.ctx.read() as conn:
                told = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                most = max(most, (await conn.rows(text(told)))[0][0])
        settings = server.runtime.settings

    held = connections(settings.model_copy(update={"workers": 4}))
    assert (held.work_processes, held.total < 100) == (1, True)
    # One of the connections is this test's own.
    assert 4 < most - 1 <= held.total
