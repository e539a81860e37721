"""Reservations: an amount is held on all accounts above it or on none, and closed once by a settlement.

    open -> settled       it is known what was used
    open -> unconfirmed   nobody can say what was used, so all of it counts as used
    open -> released      nothing was used

A caller reserves the most that may be used before anything is used, so no cap is passed, whatever happens in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import orjson

from app.database.connections import ReadConnection, WriteConnection, as_batch
from app.services.ledger.accounts import Unit
from sql.statements import ledger as statements


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
    await conn.affected(
        statements.insert_entry,
        reservation_id=reservation_id,
        kind="reserve",
        reserved_change=hold.amount,
        settled_change=0,
        created_at=now,
    )
    return reservation_id


async def balances(conn: ReadConnection, account_ids: Sequence[int], budgets: DefaultBudgets) -> list[Balance]:
    """What the accounts have and may have at this moment."""
    return await conn.many(statements.account_balances, Balance, batch=_ids(account_ids), **budgets.as_parameters)


def _ids(account_ids: Sequence[int]) -> str:
    return as_batch([{"id": account_id} for account_id in account_ids])
