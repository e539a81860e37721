"""Whether this worker can do its work."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Context
from app.errors import ShuttingDownError
from sql.statements import licensing


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that a load balancer needs to send traffic here."""

    status: str
    signing_keys: int


async def readiness(ctx: Context) -> Readiness:
    """Ask the database one cheap question; raises DatabaseUnavailableError, or ShuttingDownError while stopping."""
    if ctx.runtime.is_stopping:
        raise ShuttingDownError
    async with ctx.read() as conn:
        keys = await conn.rows(licensing.verifying_keys, now=ctx.now())
    return Readiness("ready", len(keys))
