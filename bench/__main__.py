"""This server beside a bare handler, plain asyncpg and the ORM design, in one run, alternating; quote the ratios.

    .venv/bin/python -m bench [--quick] [--only NAME ...] [--compare FILE]

One worker each, on PostgreSQL (the server that TEST_DATABASE_URL names, or an embedded one) and on SQLite, with
1,000 tenants and 10,000 devices; 32 connections unless a path says otherwise. Exits 1 if a bar is missed. Needs wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from support.databases import postgres_server

from bench import ROOT
from bench.alone import measure_memory, measure_start, portal_server
from bench.bars import POSTGRES, SQLITE, bars
from bench.checks import check
from bench.choices import MEMORY, NAMES, QUICK, START, contests
from bench.databases import address, seeded
from bench.figures import Results
from bench.load import require_wrk
from bench.report import comparison, report
from bench.rounds import Rounds
from bench.scenarios import PORTAL
from bench.servers import Server, compared, forget_settings

Told = Callable[[str, float | None], None]


def main() -> int:
    """Measure what was chosen, print it and write it."""
    chosen = _options()
    require_wrk()
    forget_settings()
    results = Results()
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            # More often would be load on the machine that is measured.
            refresh_per_second=1,
        ) as progress,
        tempfile.TemporaryDirectory(prefix="portal-bench-") as room,
        postgres_server(durable=True) as postgres,
    ):
        for database in chosen.databases:
            folder = Path(room) / database
            folder.mkdir()
            with address(database, postgres, folder) as url:
                asyncio.run(_measure(results, database, url, folder, chosen, progress))
    found = list(bars(results))
    _write(chosen, results, [{**vars(bar), "found": bar.found, "met": bar.met} for bar in found])
    print(report(results, found))
    if chosen.compare:
        print(f"\nCompared with the earlier run:\n\n{comparison(results, chosen.compare)}")
    return 0 if all(bar.met for bar in found) else 1


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="bench", description=str(__doc__).splitlines()[0])
    options.add_argument(
        "--quick", action="store_true", help="a minute and a quarter: two rounds of a second, fewer paths"
    )
    options.add_argument("--rounds", type=int, help="default 5")
    options.add_argument("--seconds", type=int, help="of each round on each path and server; default 4")
    options.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    options.add_argument("--databases", nargs="+", choices=(POSTGRES, SQLITE), default=(POSTGRES, SQLITE))
    options.add_argument("--million", action="store_true", help="memory after 1,000,000 requests, not after 100,000")
    options.add_argument("--json", type=Path, default=ROOT / "var" / "bench.json", help="where the figures are kept")
    options.add_argument("--compare", type=_earlier, metavar="FILE", help="ratios to the figures of an earlier run")
    chosen = options.parse_args()
    chosen.rounds = chosen.rounds or (2 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (1 if chosen.quick else 4)
    return chosen


def _earlier(name: str) -> Results:
    """An earlier run, looked at before minutes are spent."""
    try:
        return Results.from_json(json.loads(Path(name).read_text())["results"])
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise argparse.ArgumentTypeError(f"{name} is not the JSON of a run of this bench: {failure}") from None


async def _measure(
    results: Results, database: str, url: str, folder: Path, chosen: argparse.Namespace, progress: Progress
) -> None:
    names = chosen.only or (QUICK[database] if chosen.quick else NAMES)
    plan = contests(names, database)
    turns = sum(len(contest.who) for contest in plan) * chosen.rounds
    task = progress.add_task(f"{database} seeding", total=turns + (chosen.rounds if START in names else 0))

    def told(what: str, found: float | None) -> None:
        progress.update(task, description=what, advance=0 if found is None else 1)
        if found is None and not progress.console.is_terminal:
            # Where a bar cannot move, whoever reads along has a line for each turn.
            print(what, file=sys.stderr, flush=True)

    async with seeded(url, folder) as fleet:
        if plan:
            who = {name for contest in plan for name in contest.who}
            async with _servers(who, url, folder) as servers:
                for server in servers.values():
                    await check(server, fleet)
                rounds = Rounds(results, database, servers, fleet, folder)
                await rounds.run(plan, chosen.rounds, chosen.seconds, told)
        # With nothing else beside it.
        if START in names:
            await measure_start(results, database, url, folder, chosen.rounds, told)
        if MEMORY in names:
            async with portal_server(url, folder) as server:
                requests = 1_000_000 if chosen.million else 100_000
                await measure_memory(results, database, server, fleet, folder, requests, told)
        progress.update(task, description=f"{database} done")


@contextlib.asynccontextmanager
async def _servers(who: Collection[str], url: str, folder: Path) -> AsyncIterator[dict[str, Server]]:
    async with contextlib.AsyncExitStack() as running:
        others = [name for name in ("bare", "direct", "orm") if name in who]
        servers = await running.enter_async_context(compared(others, url, folder))
        if PORTAL in who:
            servers[PORTAL] = await running.enter_async_context(portal_server(url, folder))
        yield servers


def _write(chosen: argparse.Namespace, results: Results, found: list[dict[str, Any]]) -> None:
    told = {
        "at": datetime.now(UTC).isoformat(),
        "commit": _said_by("git", "-C", str(ROOT), "rev-parse", "HEAD"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "processor": _processor(),
            "load": os.getloadavg(),
            "wrk": _said_by("wrk", "-v").partition(" Copyright")[0],
        },
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "results": results.as_json(),
        "bars": found,
    }
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(told, indent=1))
    print(f"figures: {chosen.json}", file=sys.stderr)


def _said_by(*command: str) -> str:
    """The first line that a program prints, or nothing where there is no such program."""
    with contextlib.suppress(OSError):
        told = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
        return told[0] if told else ""
    return ""


def _processor() -> str:
    """Its name, where the system tells."""
    with contextlib.suppress(OSError):
        if found := re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return platform.processor()


if __name__ == "__main__":
    raise SystemExit(main())
