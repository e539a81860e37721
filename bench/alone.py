"""The portal by itself: how soon it answers, and how much memory a worker takes, fresh and after many requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from support.processes import served

from bench.bars import FRESH, GROWN, START
from bench.figures import Results, Value
from bench.load import wrk
from bench.scenarios import PORTAL, heartbeat, policy
from bench.seeding import Fleet
from bench.servers import TOKEN_SECONDS, Server, environment, first_answer, free_port, spawned

CHUNK_SECONDS = 5
REST_SECONDS = 3
REST_GROWTH = 1.01


@asynccontextmanager
async def portal_server(database_url: str, folder: Path) -> AsyncIterator[Server]:
    """The product as a user starts it, with one worker."""
    async with served(database_url, folder, workers=1, PORTAL_ACCESS_TOKEN_SECONDS=str(TOKEN_SECONDS)) as process:
        (worker,) = process.worker_pids()
        yield Server(PORTAL, process.base_url, worker)


async def measure_start(
    results: Results, database: str, url: str, folder: Path, times: int, told: Callable[[str, float | None], None]
) -> None:
    """Seconds from starting the command to the first answer that needs the database."""
    found = []
    for number in range(times):
        told(f"{database} {number + 1}/{times} start", None)
        port = free_port()
        log = folder / "start.log"
        arguments = ["-m", "app", "serve", "--port", str(port), "--workers", "1"]
        began = time.perf_counter()
        with spawned(arguments, environment(url, folder), log) as process:
            await first_answer(f"http://127.0.0.1:{port}/licenses/branding/bench-0000", process, log)
            found.append(time.perf_counter() - began)
        told(f"{database} {number + 1}/{times} start", found[-1])
    results.values.append(Value(database, "start", START, found))


async def measure_memory(
    results: Results,
    database: str,
    server: Server,
    fleet: Fleet,
    folder: Path,
    requests: int,
    told: Callable[[str, float | None], None],
) -> None:
    """A worker and its durable engine that have answered nothing yet, and after so many policies and heartbeats."""

    def keep(name: str, value: float) -> None:
        results.values.append(Value(database, "memory", name, [value]))

    await at_rest(server)
    keep(FRESH, fresh := server.rss_mb)
    keep("fresh PSS, MB", server.pss_mb)
    scripts = []
    for path in (policy, heartbeat):
        scripts.append(folder / f"memory-{path.__name__}.lua")
        scripts[-1].write_text(await path(fleet))
    done = number = 0
    while done < requests:
        told(f"{database} memory after {done:,} of {requests:,} requests", None)
        script = scripts[number % len(scripts)]
        done += (await asyncio.to_thread(wrk, server.url, seconds=CHUNK_SECONDS, script=script)).requests
        number += 1
    keep(f"RSS after {done:,} requests, MB", server.rss_mb)
    keep(f"PSS after {done:,} requests, MB", server.pss_mb)
    keep(GROWN, server.rss_mb / fresh)


async def at_rest(server: Server) -> None:
    """Return when the worker takes no more memory: it answers before its durable engine has started."""
    before, now = 0.0, server.rss_mb
    while now > before * REST_GROWTH:
        await asyncio.sleep(REST_SECONDS)
        before, now = now, server.rss_mb
