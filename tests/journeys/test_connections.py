"""Workers and what is connected to them: many that say nothing keep nobody out, and no two requests share an id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import SqliteDatabases
from support.journey import until
from support.processes import ServerProcess, served
from support.raw import line_to

pytestmark = pytest.mark.processes
WORKERS = 2
MOST = 40
SILENT = 4 * WORKERS * MOST


@contextlib.contextmanager
def few_files(number: int) -> Iterator[int]:
    """What begins meanwhile may open so many files, unless it asks for more; answers how many it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(pid: int) -> int:
    """How many files a process may have open."""
    found = re.search(r"Max open files +(\d+)", Path(f"/proc/{pid}/limits").read_text())
    assert found is not None
    return int(found[1])


async def ids(server: ServerProcess, number: int) -> list[str]:
    """The ids of so many requests, each on a connection of its own, ten at a time."""
    answers = []
    for _ in range(number // 10):
        answers += await asyncio.gather(*(server.http.get("/healthz") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-request-id"] for answer in answers]


def named(told: list[str]) -> set[str]:
    """The processes that have given these ids."""
    return {one.partition("-")[0] for one in told}


async def told(server: ServerProcess, name: str) -> float:
    """A figure, summed over its labels."""
    exposed = (await server.http.get("/metrics")).text
    return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? ([\d.]+)$", exposed, re.MULTILINE)))


async def test_silent_connections_keep_nobody_out_and_every_request_has_its_own_id(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    limits = {"PORTAL_MAX_CONNECTIONS": str(MOST), "PORTAL_MAX_CONNECTIONS_PER_ADDRESS": "0"}
    async with contextlib.AsyncExitStack() as held:
        database = held.enter_context(sqlite_databases.fresh(tmp_path))
        with few_files(256) as most_files:
            server = await held.enter_async_context(served(database, tmp_path, workers=WORKERS, **limits))
        assert {open_files(pid) for pid in server.worker_pids()} == {most_files}
        known = await ids(server, 60)

        for _ in range(SILENT):
            await held.enter_async_context(line_to(server.base_url))
        known += await ids(server, 60)

        assert WORKERS <= await told(server, "portal_connections") <= WORKERS * MOST
        assert await told(server, "portal_connections_closed_total") >= SILENT - WORKERS * MOST
        full = server.events("connections_full")
        assert 1 <= len(full) <= WORKERS
        assert {(event["of"], event["limit"]) for event in full} == {("worker", MOST)}

        before = server.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: set(server.worker_pids()) - set(before))
        known += await ids(server, 60)

    assert len(set(known)) == len(known)
    assert len(named(known)) == WORKERS + 1
