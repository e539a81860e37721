"""Whether this worker can do its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from app.context import Context
from app.database.schema import head_revision
from app.errors import SchemaBehindError, ShuttingDownError
from sql.statements import workers

# Read once, because no answer may wait for a disk.
NEEDED = head_revision()


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that a load balancer needs to send traffic here."""

    status: str
    signing_keys: int


class _State(NamedTuple):
    """What the database holds that work depends on."""

    migration: str | None
    signing_keys: int


async def readiness(ctx: Context) -> Readiness:
    """Ask the database one cheap question.

    A database at a later migration is one that a newer server has brought there while this one still runs. Raises
    DatabaseUnavailableError, SchemaBehindError, or ShuttingDownError while stopping.
    """
    if ctx.runtime.is_stopping:
        raise ShuttingDownError
    async with ctx.read() as conn:
        state = await conn.one(workers.readiness, _State, now=ctx.now())
    if (state.migration or "") < NEEDED:
        raise SchemaBehindError(found=state.migration, needed=NEEDED)
    return Readiness("ready", state.signing_keys)
