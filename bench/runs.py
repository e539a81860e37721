"""Whether runs of projects harm the answers of the worker beside them.

    .venv/bin/python -m bench.runs [--database sqlite|postgresql] [--rounds 5] [--seconds 4] [--runs 10] [--json]

One server with one worker and one work process. In each round it answers policies and heartbeats, first with nothing to
do and then while so many runs work: each plans, builds, tests and checks a REST service. Quote the ratios. Needs wrk.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import func, select
from support.agents import SERVICES
from support.builders import licensed
from support.processes import ServerProcess, served
from support.runs import ready_project, started

from bench.command_line import options_of, own_room, show
from bench.databases import address, seeded
from bench.load import Measured, wrk
from bench.scenarios import heartbeat, policy
from bench.servers import TOKEN_SECONDS
from sql.tables import runs

PATHS = {"policy": policy, "heartbeat": heartbeat}
REST_SECONDS = 1.0


class Pair(NamedTuple):
    """One path with nothing to do and while runs work; how many of these still worked in the end."""

    idle: Measured
    busy: Measured
    left: int


class Starts:
    """Starts runs of new projects of one tenant."""

    def __init__(self, server: Any, number: int, rounds: int) -> None:
        self._server, self._number, self._rounds = server, number, rounds
        self._names: Iterator[int] = itertools.count(1)
        self._tenant: Any = None

    async def __call__(self) -> None:
        """Start so many."""
        if self._tenant is None:
            most = self._number * self._rounds * len(PATHS)
            self._tenant = await licensed(self._server, max_uses=most, quota=most)
        for _ in range(self._number):
            made = await ready_project(self._server, self._tenant, f"Shop {next(self._names)}", objectives=SERVICES[0])
            await started(self._server, made[1], made[2])


async def working(server: ServerProcess) -> int:
    """How many runs have not ended."""
    async with server.ctx.read() as conn:
        return await conn.one(select(func.count()).select_from(runs).where(runs.c.state == "running"), int)


async def measure(url: str, folder: Path, *, rounds: int, seconds: int, number: int) -> dict[str, list[Pair]]:
    """Each path in turn, idle and busy, each first once unmeasured."""
    figures: dict[str, list[Pair]] = {path: [] for path in PATHS}
    given = {"PORTAL_WORK_PROCESSES": "1", "PORTAL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    async with seeded(url, folder) as fleet, served(url, folder, workers=1, **given) as server:
        start = Starts(server, number, rounds)
        scripts = {}
        for path, script in PATHS.items():
            scripts[path] = folder / f"{path}.lua"
            scripts[path].write_text(await script(fleet))
            await asyncio.to_thread(wrk, server.base_url, seconds=1, script=scripts[path])
        for round_number in range(rounds):
            for path in PATHS:
                idle = await asyncio.to_thread(wrk, server.base_url, seconds=seconds, script=scripts[path])
                await start()
                busy = await asyncio.to_thread(wrk, server.base_url, seconds=seconds, script=scripts[path])
                pair = Pair(idle, busy, await working(server))
                figures[path].append(pair)
                told = f"p99 {idle.p99_ms} ms idle, {busy.p99_ms} ms busy, {pair.left} runs go on"
                print(f"{round_number + 1}/{rounds} {path}: {told}", file=sys.stderr)
                while await working(server):  # noqa: ASYNC110 - what it waits for is in the database
                    await asyncio.sleep(0.1)
                await asyncio.sleep(REST_SECONDS)
    return figures


def summary(figures: dict[str, Sequence[Pair]] | dict[str, list[Pair]]) -> list[dict[str, object]]:
    """A row for each path: medians of the rounds, and of the ratios."""
    rows = []
    for path, pairs in figures.items():
        row: dict[str, object] = {"path": path}
        for name in ("requests_per_second", "p50_ms", "p99_ms"):
            idle, busy = (
                [getattr(side, name) for side in sides]
                for sides in zip(*((p.idle, p.busy) for p in pairs), strict=True)
            )
            row[f"{name} idle"] = round(statistics.median(idle), 2)
            row[f"{name} busy"] = round(statistics.median(busy), 2)
            row[f"{name} ratio"] = round(statistics.median(b / i for i, b in zip(idle, busy, strict=True)), 2)
        row["errors"] = sum(pair.idle.errors + pair.busy.errors for pair in pairs)
        row["least left"] = min(pair.left for pair in pairs)
        rows.append(row)
    return rows


def main() -> int:
    """Answer the exit code."""
    options = options_of(__doc__)
    options.add_argument("--runs", type=int, default=10)
    chosen = options.parse_args()
    with own_room(chosen.database) as (folder, postgres), address(chosen.database, postgres, folder) as url:
        measured = measure(url, folder, rounds=chosen.rounds, seconds=chosen.seconds, number=chosen.runs)
        rows = summary(asyncio.run(measured))
    show(rows, as_json=chosen.json)
    return 0 if all(row["errors"] == 0 for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
