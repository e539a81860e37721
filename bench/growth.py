"""Fill a database with the tenants of an installation that has grown, from a thousand to two hundred thousand.

    .venv/bin/python -m bench.growth --database-url postgresql+asyncpg://... --tenants 200000 [--json]

Chunks of tenants are streamed, on PostgreSQL with COPY, each in one transaction; a run that was interrupted is
continued by running it again, and a larger number adds what is missing. The tenants are ``growth-000001`` and so on.
An empty database is migrated first. The same seed and day give the same rows, apart from the ids.

What each tenant has: a subscription on one of four plans (some have none, or an earlier one that has ended), codes
that are active, used, expired or revoked, devices bound to them, a tenth of these revoked, and about five entries in
the audit trail. A quarter of the tenants came within the last year, the others in the two years before.

What stands for a year of usage: one event on each of the last three days (--event-days), which the database itself
sums, and twelve daily sums spread over the other days of the year (--rollup-days) without their events. Every event
of a year would be a hundred times as many rows and tell no more: requests read sums.

Every other tenant has two projects and the others one, each tenant five calls of models in the last two months
(--calls-each), which the database itself sums by day. The first tenant has 60,000 more (--busy-calls), however many
tenants there are: of one agent and one provider in the last three weeks, a quarter failed, a quarter from the cache.

What is not there: codes that anyone could type (their hashes are made up), refresh tokens, signing keys, sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from app.commands.output import reason_of
from app.context import Actor, Context
from app.database import schema
from app.errors import DatabaseUnavailableError, PortalError
from app.runtime import Runtime
from app.services.upkeep.statistics import fold_statistics
from app.settings import Settings, load_settings
from bench.growth_models import BUSY_CALLS
from bench.growth_rows import COLUMNS, Chunk, Ids, Shape
from bench.growth_stores import Store, add_busy_calls, counted, last_number, opened, plans_for

CHUNK = 1_000
# Slugs have six digits, so that their order is that of the numbers.
MAX_TENANTS = 999_999


async def grow(
    settings: Settings,
    tenants: int,
    shape: Shape,
    *,
    chunk: int = CHUNK,
    told: Callable[[int], None] = lambda done: None,
    folds: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Bring the database to so many tenants; answers how many rows of each table this run has added.

    ``told`` hears how many there are, ``folds`` that their figures are folded at last, which takes minutes for many.
    """
    if await schema.current_revision(settings) is None:
        await schema.upgrade(settings)
    await schema.check_current(settings)
    added = dict.fromkeys(COLUMNS, 0)
    async with opened(settings) as store:
        plans = await plans_for(store, shape.devices_each, shape.begin_of(0))
        done = await last_number(store)
        told(min(done, tenants))
        while done < tenants:
            numbers = range(done + 1, min(done + chunk, tenants) + 1)
            for table, count in (await add_chunk(store, shape, plans, numbers)).items():
                added[table] += count
            done = numbers[-1]
            told(done)
        added["llm_calls"] += await add_busy_calls(store, shape)
        # Also where nothing was added: an earlier run may have been interrupted here.
        folds()
        await fold(settings)
        await store.settle()
    return added


async def fold(settings: Settings) -> None:
    """Leave nothing for the schedule: a running installation has folded what is minutes old."""
    runtime = Runtime(settings)
    try:
        await fold_statistics(Context(runtime, Actor("system", "growth")))
    finally:
        await runtime.close()


async def add_chunk(store: Store, shape: Shape, plans: list[int], numbers: range) -> dict[str, int]:
    """The tenants of these numbers and all that is theirs, in one transaction; answers the rows of each table."""
    async with store.transaction():
        ids = Ids(
            await store.new_ids("tenants", len(numbers)),
            await store.new_ids("activation_codes", len(numbers) * shape.codes_each),
            await store.new_ids("devices", len(numbers) * shape.devices_each),
            await store.transaction_id(),
        )
        made = Chunk(shape, plans, ids)
        for index, number in enumerate(numbers):
            made.add(index, number)
        for table, columns in COLUMNS.items():
            await store.insert(table, columns.split(), made.tables[table])
    return {table: len(rows) for table, rows in made.tables.items()}


async def run(chosen: argparse.Namespace) -> dict[str, object]:
    """Grow, with progress on standard error; answers what the JSON object says."""
    with tempfile.TemporaryDirectory(prefix="portal-growth-") as folder:
        # Nothing is kept that the secret would protect.
        secret = "no-secret-is-kept-by-what-fills-a-database"
        settings = load_settings(
            database_url=chosen.database_url, environment="development", secret_key=secret, state_dir=Path(folder)
        )
        today = chosen.today or datetime.now(settings.zone).date()
        given = {
            name: getattr(chosen, name)
            for name in ("codes_each", "devices_each", "calls_each", "busy_calls", "days", "event_days")
        }
        shape = Shape(rollup_days=chosen.rollup_days, seed=chosen.seed, today=today, zone=settings.zone, **given)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        started = time.perf_counter()
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("tenants", total=chosen.tenants)
            added = await grow(
                settings,
                chosen.tenants,
                shape,
                chunk=chosen.chunk,
                told=lambda done: progress.update(task, completed=done),
                folds=lambda: progress.update(task, description="folding their figures", total=None),
            )
        seconds = time.perf_counter() - started
        async with opened(settings) as store:
            rows = await counted(store)
    return {
        "database": settings.database.render_as_string(),
        "seed": chosen.seed,
        "today": today.isoformat(),
        "rows": rows,
        "added": added,
        "seconds": round(seconds, 1),
        "rows_per_second": round(sum(added.values()) / seconds),
    }


def options() -> argparse.ArgumentParser:
    """What a user may say."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--database-url", required=True, help="postgresql+asyncpg://... or sqlite+aiosqlite:///...")
    parser.add_argument("--tenants", type=_number(1, MAX_TENANTS), default=1_000)
    parser.add_argument("--codes-each", type=_number(0, 1_000), default=10)
    parser.add_argument("--devices-each", type=_number(0, 1_000), default=10)
    parser.add_argument("--calls-each", type=_number(0, 1_000), default=5, help="calls of models")
    parser.add_argument("--busy-calls", type=_number(0, 1_000_000), default=BUSY_CALLS, help="more of the first tenant")
    parser.add_argument("--days", type=_number(1, 3_650), default=365, help="days before today that have usage")
    parser.add_argument("--event-days", type=_number(0, 3_650), default=3, help="the last of them, with events")
    parser.add_argument("--rollup-days", type=_number(0, 3_650), default=12, help="days among the others with sums")
    parser.add_argument("--chunk", type=_number(1, 10_000), default=CHUNK, help="tenants per transaction")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=date.fromisoformat, help="everything has happened before this day begins")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def whole_number(given: str) -> int:
        if not (given.isdecimal() and least <= int(given) <= most):
            raise argparse.ArgumentTypeError(f"must be from {least:,} to {most:,}, not {given!r}")
        return int(given)

    return whole_number


def main() -> int:
    """Answer the exit code: 0 done, 1 the database refused, 2 wrong options, 130 interrupted."""
    parser = options()
    chosen = parser.parse_args()
    if chosen.event_days + chosen.rollup_days > chosen.days:
        parser.error("--event-days and --rollup-days together are more than --days")
    try:
        told = asyncio.run(run(chosen))
    except KeyboardInterrupt:
        print("interrupted; the same command continues after the last finished chunk", file=sys.stderr)
        return 130
    except (PortalError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as failure:
        is_outage = isinstance(failure, DatabaseUnavailableError) or not isinstance(failure, PortalError)
        told = f"The database refuses: {reason_of(failure)}." if is_outage else failure.detail
        print(" ".join(told.split()), file=sys.stderr)
        return 1
    if chosen.json:
        print(json.dumps(told))
    else:
        for table, count in told["rows"].items():
            print(f"{count:>12,} {table} ({told['added'][table]:,} new)")
        print(f"{told['seconds']:,} s, {told['rows_per_second']:,} rows/s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
