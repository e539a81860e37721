"""Whether background work harms the answers of a worker: done by the worker itself, and by a process beside it.

    .venv/bin/python -m bench.work [--database sqlite|postgresql] [--rounds 5] [--seconds 4] [--json]

Three servers with one worker each, on a database each: in one nobody works, in one the worker does it, in one a work
process beside it. In each round every server answers policies and heartbeats, first with nothing to do, then (but for
the first one) while errands wait: messages to tenants that have no address, whose failures become events, while the
audit trail is sealed and sums are folded every second. Quote the ratios to the server where nobody works, in the same
run. Needs wrk.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import func, select
from support.processes import ServerProcess, served

from app.context import Context
from app.services.tenants.deliveries import DELIVERY
from bench.bars import SQLITE
from bench.command_line import options_of, own_room, show
from bench.databases import address, seeded
from bench.load import Measured, wrk
from bench.scenarios import heartbeat, policy
from bench.seeding import Fleet
from bench.servers import TOKEN_SECONDS
from sql.statements import deliveries as statements
from sql.tables import deliveries, errand_calls

# By the setting work_processes.
SERVERS = {"nobody works": "elsewhere", "the worker works": "0", "a work process": "1"}
ALONE = "nobody works"
PATHS = {"policy": policy, "heartbeat": heartbeat}
EVERY_SECOND = "* * * * * *"
# As many as a worker that works begins: eight at each look into the queue.
ERRANDS_PER_SECOND = 8
REST_SECONDS = 1.0


@dataclass(frozen=True)
class Turn:
    """One server on one path once; ``errands`` is how many ended meanwhile, a second."""

    measured: Measured
    errands: float


@dataclass(frozen=True)
class Side:
    """One of the servers, with its customers."""

    server: ServerProcess
    fleet: Fleet
    scripts: Mapping[str, Path]


@contextlib.contextmanager
def places(database: str, postgres: str, folder: Path) -> Iterator[dict[str, str]]:
    """A database and a state folder for each server: the addresses, by what the server is set to."""
    with contextlib.ExitStack() as made:
        urls = {}
        for setting in SERVERS.values():
            (folder / setting).mkdir()
            urls[setting] = made.enter_context(address(database, postgres, folder / setting))
        yield urls


@contextlib.asynccontextmanager
async def sides(urls: Mapping[str, str], folder: Path) -> AsyncIterator[dict[str, Side]]:
    """The servers, ready."""
    async with contextlib.AsyncExitStack() as running:
        made = {}
        for name, setting in SERVERS.items():
            place, url = folder / setting, urls[setting]
            fleet = await running.enter_async_context(seeded(url, place))
            given = {
                "PORTAL_WORK_PROCESSES": setting,
                "PORTAL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
                "PORTAL_AUDIT_SEAL_CRON": EVERY_SECOND,
                "PORTAL_STATISTICS_FOLD_CRON": EVERY_SECOND,
            }
            server = await running.enter_async_context(served(url, place, workers=1, **given))
            scripts = {}
            for path, script in PATHS.items():
                scripts[path] = place / f"{path}.lua"
                scripts[path].write_text(await script(fleet))
            made[name] = Side(server, fleet, scripts)
        yield made


async def give_errands(fleet: Fleet, count: int) -> None:
    """Store so many messages, and call for their errands."""
    ctx = fleet.ctx
    async with ctx.write() as conn:
        stored = [
            {"kind": "welcome", "tenant_slug": fleet.tenants[number % len(fleet.tenants)].slug, "created_at": ctx.now()}
            for number in range(count)
        ]
        rows = await conn.insert_all(statements.insert_delivery, stored)
        called = [{"errand": DELIVERY, "row_id": row.id, "called_at": ctx.now()} for row in rows]
        await conn.insert_all(errand_calls.insert(), called)


async def waiting(ctx: Context) -> int:
    """How many messages wait."""
    async with ctx.read() as conn:
        return await conn.one(select(func.count()).where(deliveries.c.state == "waiting"), int)


async def turn(side: Side, path: str, seconds: int, *, is_busy: bool) -> Turn:
    """Load one path for so many seconds, while errands run or while none are there."""
    given = ERRANDS_PER_SECOND * seconds if is_busy else 0
    if given:
        await give_errands(side.fleet, given)
    url = side.server.base_url
    began = time.monotonic()
    measured = await asyncio.to_thread(wrk, url, seconds=seconds, script=side.scripts[path])
    took = time.monotonic() - began
    left = await waiting(side.fleet.ctx)
    while await waiting(side.fleet.ctx):  # noqa: ASYNC110 - what it waits for is in the database
        await asyncio.sleep(0.1)
    await asyncio.sleep(REST_SECONDS)
    return Turn(measured, (given - left) / took)


async def measure(urls: Mapping[str, str], folder: Path, rounds: int, seconds: int) -> dict[str, list[Turn]]:
    """All servers in turn, each first once unmeasured."""
    figures: dict[str, list[Turn]] = defaultdict(list)
    async with sides(urls, folder) as made:
        for side in made.values():
            await turn(side, "policy", 1, is_busy=False)
        for number in range(rounds):
            for path in PATHS:
                for name, side in made.items():
                    for state in ("idle",) if name == ALONE else ("idle", "busy"):
                        found = await turn(side, path, seconds, is_busy=state == "busy")
                        figures[f"{path}, {name}, {state}"].append(found)
                        told = f"p50 {found.measured.p50_ms} ms, p99 {found.measured.p99_ms} ms"
                        print(f"{number + 1}/{rounds} {path}, {name}, {state}: {told}", file=sys.stderr)
    return figures


def summary(figures: Mapping[str, Sequence[Turn]]) -> list[dict[str, object]]:
    """A row for each situation: medians of the rounds, and of their ratios to the server where nobody works."""
    rows = []
    for situation, found in figures.items():
        path, _, _ = situation.partition(",")
        alone = figures[f"{path}, {ALONE}, idle"]
        pairs = [(one.measured, other.measured) for one, other in zip(found, alone, strict=True)]
        rows.append(
            {
                "situation": situation,
                "requests_per_second": round(statistics.median(one.measured.requests_per_second for one in found)),
                "p50_ms": round(statistics.median(one.measured.p50_ms for one in found), 2),
                "p99_ms": round(statistics.median(one.measured.p99_ms for one in found), 2),
                "rate_of_alone": round(
                    statistics.median(one.requests_per_second / other.requests_per_second for one, other in pairs), 2
                ),
                "p50_of_alone": round(statistics.median(one.p50_ms / other.p50_ms for one, other in pairs), 2),
                "p99_of_alone": round(statistics.median(one.p99_ms / other.p99_ms for one, other in pairs), 2),
                "errands_per_second": round(statistics.median(one.errands for one in found), 1),
                "errors": sum(one.measured.errors for one in found),
                "rounds": [asdict(one) for one in found],
            }
        )
    return rows


def main() -> int:
    """Answer the exit code."""
    options = options_of(__doc__, database=SQLITE)
    chosen = options.parse_args()
    with own_room(chosen.database) as (folder, postgres), places(chosen.database, postgres, folder) as urls:
        figures = asyncio.run(measure(urls, folder, chosen.rounds, chosen.seconds))
    rows = summary(figures)
    show(rows, as_json=chosen.json, without="rounds")
    return 0 if all(row["errors"] == 0 for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
