"""The clock by which billing decides: the machine's, and ahead of it where Stripe's simulator was moved ahead."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from app.context import Context
from app.database.connections import ReadConnection
from app.runtime import Runtime
from sql.statements import billing_clock as statements

# Seconds after which a process looks again how far another one has moved the simulator.
LOOK_AGAIN_SECONDS: Final = 1.0


class _Ahead:
    """How far billing is ahead of the machine's clock, as this process last read it."""

    def __init__(self, runtime: Runtime) -> None:
        self.seconds = 0
        self.until = 0.0

    def keep(self, seconds: int) -> timedelta:
        """Use this until it is time to look again."""
        self.seconds, self.until = seconds, time.monotonic() + LOOK_AGAIN_SECONDS
        return timedelta(seconds=seconds)


async def billing_now(ctx: Context, conn: ReadConnection | None = None) -> datetime:
    """The current moment of billing in UTC; ``conn`` is the connection of whoever has one already.

    Grace, trials and periods are measured by it; sessions, leases and usage keep the machine's clock. Where Stripe
    itself is asked, it is the machine's, and no statement is run; with the simulator one a second, because every
    activation asks.
    """
    now = ctx.now()
    if not ctx.runtime.settings.simulates_stripe:
        return now
    ahead = ctx.runtime.part(_Ahead)
    if time.monotonic() < ahead.until:
        return now + timedelta(seconds=ahead.seconds)
    if conn is not None:
        return now + ahead.keep(await _read(conn))
    async with ctx.read() as own:
        return now + ahead.keep(await _read(own))


async def move_billing_clock(ctx: Context, seconds: int) -> None:
    """Let billing's clock be so many seconds ahead of the machine's; it never goes back.

    Other processes see that within a second.
    """
    async with ctx.write() as conn:
        await conn.affected(statements.move_ahead, id=statements.THE_ROW, ahead_seconds=seconds)
    ctx.runtime.part(_Ahead).until = 0.0


async def _read(conn: ReadConnection) -> int:
    return await conn.maybe(statements.seconds_ahead, int) or 0
