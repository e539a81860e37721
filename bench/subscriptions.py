"""What subscriptions cost one worker in memory: thousands of them over many WebSockets, all told one event.

    .venv/bin/python -m bench.subscriptions [--sockets 1000] [--each 10] [--tenants 20] [--json]

The worker's resident memory before and after, divided by the subscriptions; their sockets are part of it. A few are
told an event first, so that what is loaded at the first one is nobody's. On PostgreSQL. Exits 1 if the bar is missed,
or if a subscription was not told its event exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from support.databases import postgres_server
from support.processes import ServerProcess, served
from support.sockets import PROTOCOL
from websockets.asyncio.client import ClientConnection, connect

from app.access.permissions import Role
from app.context import Actor, Context
from bench.alone import at_rest
from bench.bars import POSTGRES
from bench.databases import address, seeded
from bench.graph_rows import Asking, change_one_task, seed_runs
from bench.markdown import table
from bench.scenarios import PORTAL
from bench.servers import Server, forget_settings

MOST_KILOBYTES = 30.0
# How many shake hands at once; a worker lets a hundred wait of whom it does not know who they are.
AT_ONCE = 50
PATIENCE = 120.0
OPERATOR = Actor("operator", "bench", permissions=Role.OWNER.permissions)
DOCUMENT = """subscription Tasks($projectId: String, $after: String) {
  taskUpdates(projectId: $projectId, after: $after) { id projectId title status agentType completedAt cursor }
}"""


class Cost(NamedTuple):
    """What so many subscriptions took; memory in MB."""

    subscriptions: int
    fresh: float
    begun: float
    told: float
    # Seconds until all were told the event.
    seconds: float

    @property
    def kilobytes(self) -> float:
        """Of each subscription, once all are alive and were told an event."""
        return (max(self.begun, self.told) - self.fresh) * 1024 / self.subscriptions


class Told:
    """A socket with some subscriptions, and which of them were told something how often."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def begin(self, server: ServerProcess, of: Asking, each: int) -> None:
        """Connect, say who it is and subscribe."""
        url = server.base_url.replace("http", "ws", 1) + "/graphql"
        # Pings of so many clients would be load on the machine that is measured.
        options: dict[str, Any] = {"compression": None, "proxy": None, "ping_interval": None, "open_timeout": PATIENCE}
        self._connection = await connect(url, subprotocols=[PROTOCOL], **options)
        await self._say("connection_init", payload={"Authorization": f"Bearer {of.token}"})
        assert orjson.loads(await self._connection.recv())["type"] == "connection_ack"
        for number in range(each):
            asked = {"query": DOCUMENT, "variables": {}, "operationName": "Tasks"}
            await self._say("subscribe", id=f"subscription-{number}", payload=asked)
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None and self._reading is not None:
            self._reading.cancel()
            self._connection.transport.abort()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _say(self, kind: str, **members: Any) -> None:
        assert self._connection is not None
        await self._connection.send(orjson.dumps({"type": kind, **members}).decode())

    async def _read(self) -> None:
        assert self._connection is not None
        async for text in self._connection:
            message = orjson.loads(text)
            assert (message["type"], message["payload"].get("errors")) == ("next", None), message
            self.counts[message["id"]] += 1


async def begin_all(server: ServerProcess, asking: Sequence[Asking], sockets: int, each: int) -> list[Told]:
    """So many sockets with so many subscriptions each, of the tenants in turn."""
    turns, all_of_them = asyncio.Semaphore(AT_ONCE), [Told() for _ in range(sockets)]

    async def begin(number: int, one: Told) -> None:
        async with turns:
            await one.begin(server, asking[number % len(asking)], each)

    await asyncio.gather(*(begin(number, one) for number, one in enumerate(all_of_them)))
    return all_of_them


async def all_told(server: ServerProcess, asking: Sequence[Asking], some: Sequence[Told], each: int) -> float:
    """Let something happen to a task of each tenant, once all follow; seconds until all subscriptions were told."""
    await followed(server, len(some) * each)
    before = [one.counts.total() for one in some]
    began = time.perf_counter()
    await change_one_task(Context(server.runtime, OPERATOR), asking)
    async with asyncio.timeout(PATIENCE):
        while any(one.counts.total() < was + each for one, was in zip(some, before, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.perf_counter() - began


async def followed(server: ServerProcess, number: int) -> None:
    """Wait until the worker follows events for so many."""
    async with asyncio.timeout(PATIENCE):
        while f"portal_run_watchers {float(number)}" not in (await server.http.get("/metrics")).text:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def measure(url: str, folder: Path, *, sockets: int, each: int, tenants: int) -> Cost:
    """Begin them all on one worker, and tell each one event."""
    most = str(10 * sockets * each)
    given = {
        # Nobody begins the tasks of these runs.
        "PORTAL_WORK_PROCESSES": "elsewhere",
        "PORTAL_GRAPHQL_MAX_CONNECTIONS": most,
        "PORTAL_GRAPHQL_MAX_CONNECTIONS_PER_CALLER": most,
        "PORTAL_GRAPHQL_MAX_OPERATIONS": str(max(20, each)),
        "PORTAL_MAX_WATCHERS": most,
        "PORTAL_MAX_WATCHERS_PER_TENANT": most,
    }
    async with seeded(url, folder) as fleet, served(url, folder, workers=1, **given) as server:
        asking = (await seed_runs(fleet, go_on=True))[:tenants]
        (worker,) = server.worker_pids()
        process = Server(PORTAL, server.base_url, worker)
        first = await begin_all(server, asking, tenants, each)
        await all_told(server, asking, first, each)
        await at_rest(process)
        fresh = process.rss_mb

        further = await begin_all(server, asking, sockets, each)
        await followed(server, (sockets + tenants) * each)
        begun = process.rss_mb
        seconds = await all_told(server, asking, [*first, *further], each)
        told = process.rss_mb
        wrong = [one.counts for one in further if sorted(one.counts.values()) != [1] * each]
        assert not wrong, f"{len(wrong)} sockets were told something else, the first one {wrong[0]}"
        await asyncio.gather(*(one.close() for one in (*first, *further)))
    return Cost(sockets * each, fresh, begun, told, seconds)


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(prog="bench.subscriptions", description=str(__doc__).splitlines()[0])
    options.add_argument("--sockets", type=int, default=1000)
    options.add_argument("--each", type=int, default=10)
    options.add_argument("--tenants", type=int, default=20)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    forget_settings()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    with (
        tempfile.TemporaryDirectory(prefix="portal-bench-") as room,
        postgres_server(durable=True) as postgres,
        address(POSTGRES, postgres, Path(room)) as url,
    ):
        measured = measure(url, Path(room), sockets=chosen.sockets, each=chosen.each, tenants=chosen.tenants)
        cost = asyncio.run(measured)
    row = {
        "subscriptions": cost.subscriptions,
        "fresh, MB": round(cost.fresh, 1),
        "begun, MB": round(cost.begun, 1),
        "told, MB": round(cost.told, 1),
        "kB each": round(cost.kilobytes, 1),
        "bar": MOST_KILOBYTES,
        "all told after, s": round(cost.seconds, 2),
    }
    print(json.dumps(row, indent=1) if chosen.json else table(list(row), [list(row.values())]))
    return 0 if cost.kilobytes <= MOST_KILOBYTES else 1


if __name__ == "__main__":
    raise SystemExit(main())
