"""The clock by which billing decides: the machine's, and ahead of it where Stripe's simulator was moved ahead."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.context import Context
from app.database.connections import ReadConnection
from sql.statements import billing_clock as statements


async def billing_now(ctx: Context, conn: ReadConnection | None = None) -> datetime:
    """The current moment of billing in UTC; ``conn`` is the connection of whoever has one already.

    Grace, trials and periods are measured by it; sessions, leases and usage keep the machine's clock. Where Stripe
    itself is asked, it is the machine's, and no statement is run.
    """
    now = ctx.now()
    if not ctx.runtime.settings.simulates_stripe:
        return now
    if conn is not None:
        return now + await _ahead(conn)
    async with ctx.read() as own:
        return now + await _ahead(own)


async def move_billing_clock(ctx: Context, seconds: int) -> None:
    """Let billing's clock be so many seconds ahead of the machine's; it never goes back."""
    async with ctx.write() as conn:
        await conn.affected(statements.move_ahead, id=statements.THE_ROW, ahead_seconds=seconds)


async def _ahead(conn: ReadConnection) -> timedelta:
    return timedelta(seconds=await conn.maybe(statements.seconds_ahead, int) or 0)
