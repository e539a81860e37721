"""Whether this worker can do its work, and whether anybody does background work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Context
from app.database.fitness import ENGINE_SCHEMA, Fitness
from app.database.room import RoomToWrite
from app.database.schema import head_revision
from app.errors import SchemaBehindError, ShuttingDownError
from sql.statements import database_server, workers

# Read once, because no answer may wait for a disk.
NEEDED = head_revision()


# A process that works and has written no heartbeat for so long is dead, as for the durable engine.
DEAD_AFTER = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that a load balancer needs to send traffic here, and what tells operators that background work stands still.

    ``work_processes`` do it, on all hosts together; an errand has waited for one for ``errand_wait_seconds``.
    """

    status: str
    signing_keys: int
    work_processes: int
    errand_wait_seconds: int


class Work(NamedTuple):
    """How many processes do background work, and since when the oldest call for an errand has waited for one."""

    processes: int
    oldest_call_at: datetime | None

    def wait_seconds(self, now: datetime) -> int:
        """How long that call has waited; 0 without one."""
        return max(0, int((now - self.oldest_call_at).total_seconds())) if self.oldest_call_at else 0


class _State(NamedTuple):
    """What the database holds that requests depend on, and the columns of ``Work``."""

    migration: str | None
    signing_keys: int
    processes: int
    oldest_call_at: datetime | None


async def readiness(ctx: Context) -> Readiness:
    """Ask the database what requests and background work need, cheaply.

    A database at a later migration is one that a newer server has brought there while this one still runs. Work that
    stands still makes no worker unready: it answers devices as before, and a load balancer that left it out would turn
    late messages into an outage. Work that can never begin is another matter: nobody would ever get a mail. A SQLite
    file whose disk is full answers questions and takes no heartbeat, so that is not ready. Raises
    DatabaseUnavailableError, SchemaBehindError, WorkForbiddenError, or ShuttingDownError while stopping.
    """
    if ctx.runtime.is_stopping:
        raise ShuttingDownError
    now = ctx.now()
    await ctx.runtime.part(RoomToWrite).check()
    async with ctx.read() as conn:
        state = await conn.one(workers.readiness, _State, now=now, alive_since=now - DEAD_AFTER)
        if not ctx.runtime.db.is_sqlite:
            fitness = await conn.one(database_server.fitness, Fitness, engine=ENGINE_SCHEMA)
            fitness.check(works=ctx.runtime.settings.works)
    if (state.migration or "") < NEEDED:
        raise SchemaBehindError(found=state.migration, needed=NEEDED)
    wait_seconds = Work(state.processes, state.oldest_call_at).wait_seconds(now)
    return Readiness("ready", state.signing_keys, state.processes, wait_seconds)


async def work(ctx: Context) -> Work:
    """Whether anybody does background work; raises DatabaseUnavailableError."""
    async with ctx.read() as conn:
        return await conn.one(workers.work, Work, alive_since=ctx.now() - DEAD_AFTER)
