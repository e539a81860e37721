"""The run quota: a run is reserved before it starts; what has run is what usage's own sums say."""

from __future__ import annotations

from typing import NamedTuple

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import QuotaExceededError
from app.services.ledger.reservations import Hold, insert_open
from sql.statements import ledger as statements


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
    hold = Hold(request_id, "runs", 1, [account_id])
    reservation_id = await insert_open(conn, hold, ctx.now())
    await conn.affected(statements.reserve_run, of_id=account_id)
    return reservation_id
