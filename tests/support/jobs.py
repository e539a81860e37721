"""What the tests of jobs share: a database with room for traces, and schedules that leave them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from support.clocks import MovableClock
from support.databases import settings_for

from app.context import Context
from app.jobs.jobs import Jobs, Timing
from app.jobs.work import Errand, Schedule
from app.runtime import Runtime
from app.settings import Settings
from sql.tables import leases

FULL = os.environ.get("PORTAL_PROOF") == "full"
# Everything ten times as fast as in earnest.
QUICK = Timing(beat=0.5, lease=1.5, dead=2.0, retry=0.2, poll=0.2, errand_poll=0.2, sweep=0.5)
EVERY_SECOND = "* * * * * *"
# Far longer than anything here takes; only a failing test waits for it.
PATIENCE = 600.0 if FULL else 60.0

# What the runs of a test leave behind: one row when a run begins and one when it ends.
steps = Table(
    "proof_steps",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("run", String(200)),
    Column("executor", String(100)),
    Column("step", String(10)),
    Column("at", Float),
)


@dataclass(frozen=True)
class Place:
    """A database of its own with the tables that jobs need."""

    url: str
    state_dir: Path
    engine: AsyncEngine
    durable: AsyncEngine

    def settings(self) -> Settings:
        return settings_for(self.url, self.state_dir)

    async def rows(self, statement: Any) -> list[Any]:
        async with self.engine.connect() as connection:
            return list(await connection.execute(statement))

    async def count(self, step: str) -> Counter[str]:
        """How often each run did a step."""
        return Counter([run for (run,) in await self.rows(select(steps.c.run).where(steps.c.step == step))])

    async def leader(self) -> str | None:
        holders = await self.rows(select(leases.c.holder).where(leases.c.expires_at > datetime.now(UTC)))
        return holders[0][0] if holders else None


@contextlib.asynccontextmanager
async def job_place(database: str, state_dir: Path) -> AsyncIterator[Place]:
    engine = create_async_engine(database)
    async with engine.begin() as connection:
        await connection.run_sync(steps.create)
    is_sqlite = database.startswith("sqlite")
    durable = create_async_engine(f"sqlite+aiosqlite:///{state_dir}/durable.db" if is_sqlite else database)
    try:
        yield Place(database, state_dir, engine, durable)
    finally:
        await engine.dispose()
        await durable.dispose()


@contextlib.asynccontextmanager
async def launched(
    settings: Settings,
    *schedules: Schedule,
    clock: MovableClock | None = None,
    grace: float = 10.0,
    errands: Sequence[Errand] = (),
) -> AsyncIterator[Jobs]:
    runtime = Runtime(settings, clock)
    jobs = Jobs(runtime, schedules, QUICK, errands)
    await jobs.launch()
    try:
        yield jobs
    finally:
        await jobs.stop(grace)
        await runtime.close()


def ahead_by(**by: float) -> MovableClock:
    """A clock that is ahead."""
    clock = MovableClock()
    clock.move(**by)
    return clock


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What the condition answers as soon as that is true."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := await condition()):  # noqa: ASYNC110 - what it waits for is in the database
            await asyncio.sleep(0.1)
        return answer


async def engine_rows(place: Place) -> list[Any]:
    """Id, status and executor of every workflow, read past the engine."""
    table = "workflow_status" if place.url.startswith("sqlite") else "dbos.workflow_status"
    async with place.durable.connect() as connection:
        return list(await connection.exec_driver_sql(f"select workflow_uuid, status, executor_id from {table}"))


async def outcomes(place: Place) -> Counter[tuple[str, str]]:
    """How often each schedule came to each status."""
    with contextlib.suppress(DBAPIError):
        return Counter((workflow.split(":")[1], status) for workflow, status, _ in await engine_rows(place))
    return Counter()


async def note(ctx: Context, step: str) -> None:
    """Write down that the run under way did a step."""
    from dbos import DBOS

    async with ctx.runtime.db.write() as conn:
        values = {"run": DBOS.workflow_id, "executor": ctx.runtime.executor_id, "step": step, "at": time.time()}
        await conn.affected(insert(steps).values(**values))


async def tick(ctx: Context) -> Mapping[str, object]:
    await note(ctx, "begin")
    await note(ctx, "end")
    return {"by": ctx.actor.name}
