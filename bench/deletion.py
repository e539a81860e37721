"""What devices of other tenants notice while a tenant with very many usage events is deleted, on PostgreSQL.

    .venv/bin/python -m bench.deletion [--events 1000000] [--beats 20] [--json]

One server with one worker and one work process. A device sends heartbeats by the clock, so many a second, first for
ten seconds by itself and then until nothing of the other tenant is left. The exit code is 1 if a heartbeat fails, or
takes longer than a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from support.admin import as_operator
from support.builders import Activated, activated, licensed
from support.databases import PostgresDatabases, postgres_server
from support.processes import ServerProcess, served

from bench.markdown import table
from sql.tables import tenants, usage_events

ALONE_SECONDS = 10.0
WORST_SECONDS = 1.0
PIECE = 500_000
# With the sums kept by the trigger, as they came.
FILL = """
    INSERT INTO usage_events (tenant_id, event_id, kind, quantity, at, day, received_at)
    SELECT :tenant_id, 'event-' || number, 'run', 1, now(), current_date - (number % 30)::int, now()
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS number
"""


@dataclass(frozen=True)
class Beats:
    """Heartbeats in milliseconds, how many failed, and how long it took in seconds."""

    number: int
    failed: int
    median: float
    p99: float
    worst: float
    seconds: float


async def fill(url: str, tenant_id: int, events: int) -> None:
    """Give the tenant so many events."""
    engine = create_async_engine(url)
    for first in range(1, events + 1, PIECE):
        async with engine.begin() as connection:
            last = min(first + PIECE - 1, events)
            await connection.execute(text(FILL), {"tenant_id": tenant_id, "first": first, "last": last})
    await engine.dispose()


async def beats(server: ServerProcess, device: Activated, per_second: int, goes_on: Callable[[], bool]) -> Beats:
    """Heartbeats by the clock, each sent whether or not the one before was answered."""
    took: list[float] = []
    failed = 0

    async def beat() -> None:
        nonlocal failed
        began = time.perf_counter()
        body = {"hw_fingerprint": device.hw_fingerprint}
        answer = await server.http.post("/licenses/heartbeat", headers=device.headers, json=body)
        took.append((time.perf_counter() - began) * 1000)
        failed += answer.status_code != 200

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while goes_on():
            group.create_task(beat())
            await asyncio.sleep(1 / per_second)
    took.sort()
    seconds = time.perf_counter() - began
    return Beats(len(took), failed, statistics.median(took), took[int(len(took) * 0.99)], took[-1], seconds)


async def measure(url: str, folder: Path, events: int, per_second: int) -> dict[str, Beats]:
    """The heartbeats alone, and while the tenant is deleted."""
    async with served(url, folder, workers=1) as server:
        large, other = await licensed(server), await activated(server, await licensed(server, max_uses=10))
        await fill(url, large.tenant_id, events)
        ends_at = time.monotonic() + ALONE_SECONDS
        alone = await beats(server, other, per_second, lambda: time.monotonic() < ends_at)
        headers = await as_operator(server)
        gone = asyncio.Event()

        async def delete() -> None:
            answer = await server.http.delete(f"/admin/api/tenants/{large.slug}", headers=headers)
            assert answer.is_success, answer.text
            left = select(func.count()).select_from(tenants).where(tenants.c.id == large.tenant_id)
            while True:
                async with server.ctx.read() as conn:
                    if not await conn.one(left, int):
                        break
                await asyncio.sleep(0.2)
            gone.set()

        deleting = asyncio.create_task(delete())
        beside = await beats(server, other, per_second, lambda: not gone.is_set())
        await deleting
        async with server.ctx.read() as conn:
            assert await conn.one(select(func.count()).select_from(usage_events), int) == 0
    return {"alone": alone, "beside": beside}


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="bench.deletion", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--beats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, postgres_server(durable=True) as postgres:
        folder = Path(name)
        databases = PostgresDatabases(postgres, folder)
        with databases.fresh(folder) as url:
            found = asyncio.run(measure(url, folder, chosen.events, chosen.beats))
        databases.close()
    if chosen.json:
        sys.stdout.write(json.dumps({name: asdict(each) for name, each in found.items()}) + "\n")
    else:
        head = ["heartbeats", "number", "failed", "median ms", "p99 ms", "worst ms", "seconds"]
        rows = [[name, *(f"{value:.1f}" for value in asdict(each).values())] for name, each in found.items()]
        sys.stdout.write(table(head, rows) + "\n")
    beside = found["beside"]
    return int(beside.failed > 0 or beside.worst > WORST_SECONDS * 1000)


if __name__ == "__main__":
    sys.exit(main())
