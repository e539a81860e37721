"""What one customer, or a stranger, does to all others: a row that stays locked, keys without end, sums without end.

    .venv/bin/python -m bench.attacks.one_customer [--seconds 10] [--json]

One server on PostgreSQL with one worker. ``locked``: a session keeps the rows of a tenant's subscription and of its
device, while that tenant sends an activation and a heartbeat a second; another tenant sends ten of each a second by the
clock. ``keys``: refused activations, each with a new Idempotency-Key, and the rows that they leave. ``sums``: requests
of a thousand events of the largest quantity, until one is refused, and how the lists answer then. The exit code is 1 if
another tenant waits longer than three seconds, if rows are left, or if a list fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine
from support.admin import as_operator
from support.builders import Activated, activate, activated, licensed, report, run_event
from support.databases import PostgresDatabases, postgres_server
from support.processes import ServerProcess, served

from sql.tables import devices, idempotent_answers, subscriptions

WORST_SECONDS = 3.0
PER_SECOND = 10
MOST_REQUESTS = 200


async def by_the_clock(
    seconds: float, per_second: float, send: Callable[[int], Awaitable[Any]]
) -> tuple[list[float], Counter[int]]:
    """How long answers took in milliseconds, and their statuses; each is sent whatever of the others is answered."""
    took: list[float] = []
    statuses: Counter[int] = Counter()

    async def one(number: int) -> None:
        began = time.perf_counter()
        answer = await send(number)
        took.append((time.perf_counter() - began) * 1000)
        statuses[answer.status_code] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * per_second)):
            group.create_task(one(number))
            await asyncio.sleep(1 / per_second)
    return took, statuses


def told(took: list[float], statuses: Counter[int]) -> dict[str, Any]:
    """The figures of one kind of request."""
    return {
        "median_ms": round(statistics.median(took), 1),
        "worst_ms": round(max(took), 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
    }


async def locked(server: ServerProcess, url: str, seconds: float) -> dict[str, Any]:
    """Both tenants' requests while rows of the first are locked."""
    stuck, other = [await activated(server, await licensed(server, max_uses=100_000), name) for name in ("a", "b")]

    def activation(device: Activated) -> Callable[[int], Awaitable[Any]]:
        return lambda number: activate(server, device.tenant, f"hardware {uuid.uuid4().hex} {number}")

    def heartbeat(device: Activated) -> Callable[[int], Awaitable[Any]]:
        body = {"hw_fingerprint": device.hw_fingerprint}
        return lambda _: server.http.post("/licenses/heartbeat", headers=device.headers, json=body)

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for table in (subscriptions, devices):
            chosen = select(table.c.id).where(table.c.tenant_id == stuck.tenant.tenant_id)
            await connection.execute(chosen.with_for_update())
        kinds = {"activations": activation, "heartbeats": heartbeat}
        sending = [
            by_the_clock(seconds, rate, kind(device))
            for kind in kinds.values()
            for device, rate in ((stuck, 1), (other, PER_SECOND))
        ]
        # The lock ends with the sending, and what still waits for it is answered then.
        answered = asyncio.gather(*sending)
        await asyncio.sleep(seconds)
    found = await answered
    await engine.dispose()
    names = [f"{kind} of {whose}" for kind in kinds for whose in ("the stuck", "others")]
    return {name: told(*each) for name, each in zip(names, found, strict=True)}


async def keys(server: ServerProcess, seconds: float) -> dict[str, Any]:
    """Refused activations, each with a key of its own, as fast as ten at once are answered."""
    statuses: Counter[int] = Counter()
    ends_at = time.monotonic() + seconds

    async def again() -> None:
        while time.monotonic() < ends_at:
            body = {"tenant_slug": uuid.uuid4().hex, "activation_code": "NONE", "hw_fingerprint": "hardware"}
            headers = {"idempotency-key": uuid.uuid4().hex}
            statuses[(await server.http.post("/authz/activate", json=body, headers=headers)).status_code] += 1

    await asyncio.gather(*(again() for _ in range(10)))
    async with server.ctx.read() as conn:
        left = await conn.one(select(func.count()).select_from(idempotent_answers), int)
    return {"statuses": {str(status): count for status, count in statuses.items()}, "rows_left": left}


async def sums(server: ServerProcess) -> dict[str, Any]:
    """The largest events until one is refused; then the lists that show the tenant."""
    device = await activated(server, await licensed(server, max_uses=10))
    sent, answer = 0, None
    while sent < MOST_REQUESTS and (answer is None or answer.status_code == 200):
        answer = await report(server, device, *(run_event(f"{sent} {number}", 10**12) for number in range(1000)))
        sent += 1
    headers = await as_operator(server)
    paths = ("/admin/api/tenants?sort_field=usage", f"/admin/api/tenants/{device.tenant.slug}")
    lists = [(await server.http.get(path, headers=headers)).status_code for path in paths]
    return {"requests": sent, "last": answer.status_code if answer else None, "lists": lists}


async def attack(url: str, folder: Path, seconds: float) -> dict[str, Any]:
    """All three, one after the other."""
    async with served(url, folder, workers=1, PORTAL_RATE_LIMITS="on") as server:
        found = {"locked": await locked(server, url, seconds), "keys": await keys(server, seconds)}
        return found | {"sums": await sums(server)}


def main() -> int:
    """Attack, and print what was found."""
    parser = argparse.ArgumentParser(prog="bench.attacks.one_customer", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        databases = PostgresDatabases(stack.enter_context(postgres_server(durable=True)), folder)
        stack.callback(databases.close)
        found = asyncio.run(attack(stack.enter_context(databases.fresh(folder)), folder, chosen.seconds))
    sys.stdout.write(json.dumps(found, indent=None if chosen.json else 2) + "\n")
    waits = [found["locked"][f"{kind} of others"]["worst_ms"] for kind in ("activations", "heartbeats")]
    is_harmed = max(waits) > WORST_SECONDS * 1000 or found["keys"]["rows_left"] > 0
    return int(is_harmed or found["sums"]["lists"] != [200, 200])


if __name__ == "__main__":
    sys.exit(main())
