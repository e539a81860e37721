"""The run quota: a run is reserved before it starts; what has run is what usage's own sums say.

reserved -> counted     its first task has started: the reservation is released and a usage event written, at once
reserved -> returned    it has ended before that
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.calendar import day_of
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import QuotaExceededError
from app.services.ledger.reservations import DefaultBudgets, Hold, insert_open
from app.services.ledger.settlements import Closed, Closing, close_all, move_all
from sql.statements import ledger as statements
from sql.statements import usage

# What is locked beside a run's account has none: budgets are of money.
NO_BUDGETS: Final = DefaultBudgets(0, 0)


class RunStanding(NamedTuple):
    """A tenant's runs of a month, and how many its plan allows; None without a subscription."""

    settled: int
    quota: int | None


async def reserve_run(conn: WriteConnection, ctx: Context, tenant_id: int, account_id: int, request_id: str) -> int:
    """Reserve one run of the tenant's month on its account; answers the reservation's id.

    The account's row is locked first and the sums are read by a second statement, so that of parallel starts each sees
    what those before it have done. Raises QuotaExceededError.
    """
    month = ctx.month()
    reserved = await conn.one(statements.run_account_locked, int, account_id=account_id)
    standing = await conn.one(
        statements.run_standing,
        RunStanding,
        tenant_id=tenant_id,
        first_day=month.first_day,
        next_day=month.next_day,
    )
    quota = standing.quota or 0
    if standing.settled + reserved >= quota:
        raise QuotaExceededError(
            quota=quota, settled=standing.settled, reserved=reserved, next_month=month.next_day.isoformat()
        )
    hold = Hold(request_id, "runs", 1, [account_id], ctx.now())
    reservation_id = await insert_open(conn, hold)
    await conn.affected(statements.reserve_run, of_id=account_id)
    return reservation_id


async def count_run(conn: WriteConnection, ctx: Context, tenant_id: int, reservation_id: int) -> bool:
    """Make a usage event of a reserved run, at the moment of its reservation; False if that was done before.

    Its month is that in which it was reserved, also when it begins in the next one.
    """
    if (closed := await _released(conn, ctx, reservation_id)) is None:
        return False
    await conn.affected(
        usage.insert_usage_event,
        tenant_id=tenant_id,
        # No device can have reported this id: it is random, and nobody is told.
        event_id=f"run-{closed.request_id}",
        kind="run",
        quantity=1,
        at=closed.created_at,
        day=day_of(closed.created_at, ctx.runtime.zone),
        received_at=ctx.now(),
    )
    await move_all(conn, [closed], NO_BUDGETS)
    return True


async def return_run(conn: WriteConnection, ctx: Context, reservation_id: int) -> bool:
    """Give a run back that has ended before it counted; False if its reservation was closed before."""
    if (closed := await _released(conn, ctx, reservation_id)) is None:
        return False
    await move_all(conn, [closed], NO_BUDGETS)
    return True


async def _released(conn: WriteConnection, ctx: Context, reservation_id: int) -> Closed | None:
    closed = await close_all(conn, [Closing(reservation_id, "released", 0)], ctx.now())
    return closed[0] if closed else None
