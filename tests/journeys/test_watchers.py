"""Hundreds of clients that watch one run on one worker: what each is told, and what they cost together."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import psutil
import pytest
from support.processes import FULL_PROOF, ServerProcess, served
from support.watching import Watchers, begun, happen

pytestmark = pytest.mark.processes

WATCHERS, EVENTS = (500, 1000) if FULL_PROOF else (60, 200)
MOST_GROWTH = 20_000_000


async def metric(server: ServerProcess, name: str) -> float:
    """A figure that the server tells of itself."""
    text = (await server.http.get("/metrics")).text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? ([\d.e+]+)$", text, re.MULTILINE))


def memory_of(server: ServerProcess) -> int:
    (pid,) = server.worker_pids()
    return psutil.Process(pid).memory_info().rss


async def test_all_are_told_everything_once_for_little(database: str, tmp_path: Path) -> None:
    settings = {"PORTAL_MAX_WATCHERS": "600", "PORTAL_MAX_WATCHERS_PER_TENANT": "600"}
    async with served(database, tmp_path, workers=1, **settings) as server:
        watchers = Watchers()
        run = await begun(server)
        opened = await asyncio.gather(*(watchers.watch(server, run) for _ in range(WATCHERS)))
        assert {watching.status for watching in opened} == {200}
        # What is loaded or compiled at the first event is not the watchers'.
        await happen(server.runtime, run, 10)
        for watching in opened:
            await watching.until(10, 60)
        before, statements = memory_of(server), await metric(server, "portal_sql_statements_total")

        left = EVENTS - 10
        while left:
            some = min(left, 1 + left % 3)
            await happen(server.runtime, run, some)
            left -= some
        for watching in opened:
            await watching.until(EVENTS, 60)

        growth, asked = memory_of(server) - before, await metric(server, "portal_sql_statements_total") - statements
        assert await metric(server, "portal_run_watchers") == WATCHERS
        assert all(watching.numbers == list(range(1, EVENTS + 1)) for watching in opened)
        assert growth < MOST_GROWTH
        # A ring is a read for all watchers together, and so is a look every two seconds.
        assert asked < EVENTS
        server.process.terminate()
        await asyncio.gather(*(watchers.ended(watching, 20) for watching in opened))

    assert all(watching.is_whole and watching.end is None for watching in opened)
    await watchers.hang_up()
