"""Reservations: an amount is held on all accounts above it or on none, and closed once, whoever repeats it.

    open -> settled       it is known what was used
    open -> unconfirmed   nobody can say what was used, so all of it counts as used
    open -> released      nothing was used

A caller reserves the most that may be used before anything is used, so no cap is passed, whatever happens in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple

import orjson

from app.context import Context
from app.database.connections import ReadConnection, WriteConnection, as_batch
from app.services.ledger.accounts import Unit
from sql.statements import ledger as statements

End = Literal["settled", "unconfirmed", "released"]
_KINDS: dict[End, str] = {"settled": "settle", "unconfirmed": "unconfirmed", "released": "release"}


class DefaultBudgets(NamedTuple):
    """The system's budgets in 1e-9 USD while nobody has set any."""

    monthly: int
    daily: int

    @property
    def as_parameters(self) -> dict[str, int]:
        """As the statements that read caps take them."""
        return {"default_monthly_budget": self.monthly, "default_daily_budget": self.daily}


class Hold(NamedTuple):
    """What is to be reserved, on which accounts, and who holds it until when."""

    request_id: str
    unit: Unit
    amount: int
    account_ids: Sequence[int]
    executor_id: str | None = None
    deadline: datetime | None = None
    # What it is for, so that whoever closes it for a dead holder can tell.
    details: dict[str, object] | None = None


class Balance(NamedTuple):
    """What an account has and may have; ``cap`` None means no limit."""

    id: int
    unit: str
    level: str
    tenant_id: int | None
    project_id: str | None
    period: str
    starts_on: date | None
    reserved: int
    settled: int
    cap: int | None

    @property
    def room(self) -> float:
        """How much can still be reserved; infinite without a cap."""
        return math.inf if self.cap is None else self.cap - self.reserved - self.settled

    def would_fit(self, amount: int) -> bool:
        """Whether the amount could be reserved if nothing of what is reserved were used."""
        return self.cap is None or self.settled + amount <= self.cap


class Closed(NamedTuple):
    """A reservation that this transaction has closed; ``used`` of ``amount`` is what its accounts are moved by."""

    id: int
    request_id: str
    amount: int
    used: int
    accounts: str
    details: str | None
    created_at: datetime


# Writes the row of a log in the transaction that has closed a reservation.
WriteLog = Callable[[WriteConnection, Closed], Awaitable[None]]


class DoesNotFitError(Exception):
    """One of the accounts has no room: the transaction is rolled back, and why is read afterwards."""


async def reserve(conn: WriteConnection, hold: Hold, budgets: DefaultBudgets, now: datetime) -> int:
    """Hold the amount on all accounts; answers the reservation's id.

    Raises DoesNotFitError, so that the caller's transaction rolls back. It belongs at the end of that transaction:
    every other call waits for the installation's account until then.
    """
    reservation_id = await insert_open(conn, hold, now)
    moved = await conn.many(
        statements.reserve,
        int,
        batch=_ids(hold.account_ids),
        amount=hold.amount,
        levels=len(hold.account_ids),
        **budgets.as_parameters,
    )
    if len(moved) != len(hold.account_ids):
        raise DoesNotFitError
    return reservation_id


async def insert_open(conn: WriteConnection, hold: Hold, now: datetime) -> int:
    """Store an open reservation with its entry; the caller moves the accounts in the same transaction."""
    reservation_id = await conn.one(
        statements.insert_reservation,
        int,
        request_id=hold.request_id,
        unit=hold.unit,
        amount=hold.amount,
        accounts=orjson.dumps(list(hold.account_ids)).decode(),
        state="open",
        executor_id=hold.executor_id,
        deadline=hold.deadline,
        details=None if hold.details is None else orjson.dumps(hold.details).decode(),
        created_at=now,
    )
    await _enter(conn, reservation_id, "reserve", hold.amount, 0, now)
    return reservation_id


async def close(
    conn: WriteConnection, reservation_id: int, end: End, used_amount: int | None, now: datetime
) -> Closed | None:
    """Close an open reservation in the caller's transaction; None if it was closed before, and then nothing changes.

    ``used_amount`` None means all that was reserved; it may be more. The caller ends with ``move_accounts``, after
    whatever else belongs to the same transaction.
    """
    closed = await conn.maybe(
        statements.close_reservation,
        Closed,
        of_id=reservation_id,
        end=end,
        used_amount=used_amount,
        now=now,
    )
    if closed is not None:
        await _enter(conn, reservation_id, _KINDS[end], -closed.amount, closed.used, now)
    return closed


async def move_accounts(conn: WriteConnection, closed: Closed) -> None:
    """Take back what was held from the accounts, and add what was used; the last locks of the transaction."""
    ids = orjson.loads(closed.accounts)
    await conn.affected(statements.settle, batch=_ids(ids), held=closed.amount, used_amount=closed.used)


async def no_log(conn: WriteConnection, closed: Closed) -> None:
    """For whoever keeps no log of what was reserved."""


async def release(ctx: Context, reservation_id: int, write_log: WriteLog = no_log) -> bool:
    """Give all of a reservation back; False if it was closed before."""
    now = ctx.now()
    async with ctx.write() as conn:
        closed = await close(conn, reservation_id, "released", 0, now)
        if closed is not None:
            await write_log(conn, closed)
            await move_accounts(conn, closed)
    return closed is not None


async def balances(conn: ReadConnection, account_ids: Sequence[int], budgets: DefaultBudgets) -> list[Balance]:
    """What the accounts have and may have at this moment."""
    return await conn.many(statements.account_balances, Balance, batch=_ids(account_ids), **budgets.as_parameters)


def _ids(account_ids: Sequence[int]) -> str:
    return as_batch([{"id": account_id} for account_id in account_ids])


async def _enter(
    conn: WriteConnection, reservation_id: int, kind: str, reserved: int, settled: int, now: datetime
) -> None:
    await conn.affected(
        statements.insert_entry,
        reservation_id=reservation_id,
        kind=kind,
        reserved_change=reserved,
        settled_change=settled,
        created_at=now,
    )
