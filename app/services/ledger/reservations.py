"""Reservations: an amount is held on all accounts above it or on none, and closed once by a settlement.

    open -> settled       it is known what was used
    open -> unconfirmed   nobody can say what was used, so all of it counts as used
    open -> released      nothing was used

A caller reserves the most that may be used before anything is used, so no cap is passed, whatever happens in parallel.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

import orjson

from app.context import Context
from app.database.connections import ReadConnection, WriteConnection, as_batch
from app.runtime import Coalesced, Runtime
from app.services.ledger.accounts import Unit
from sql.statements import ledger, settlements
from sql.statements import reservations as statements

# What waits is taken in so many parts, here and wherever else calls of models share a statement: much is computed after
# each of them, and calls that ended together would go on together.
PARTS: Final = 4


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
    created_at: datetime
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


class Stored(NamedTuple):
    """A reservation that was stored."""

    request_id: str
    id: int


class DoesNotFitError(Exception):
    """One of the accounts has no room: nothing is reserved, and why is read afterwards."""


@functools.cache
def _reservations(budgets: DefaultBudgets) -> Coalesced[Hold, int]:
    """Reserving as callers that wait share it: one transaction for all that have come meanwhile."""

    async def run(runtime: Runtime, holds: Sequence[Hold]) -> Sequence[int]:
        return await _reserve_all(runtime, holds, budgets)

    # The last account is of the smallest of those for whom it is spent.
    return Coalesced("reservations", run, lanes=1, parts=PARTS, owner=lambda hold: hold.account_ids[-1])


def reserve(ctx: Context, hold: Hold, budgets: DefaultBudgets) -> asyncio.Future[int]:
    """Hold the amount on all accounts, in a transaction of its own or shared; answers the reservation's id.

    The future raises DoesNotFitError. A batch that does not fit as a whole holds nothing, and each of it is tried
    alone. It is reserved even if nobody waits for it any more, unless the future itself is cancelled before.
    """
    return ctx.runtime.coalescer(_reservations(budgets)).put(hold)


async def _reserve_all(runtime: Runtime, holds: Sequence[Hold], budgets: DefaultBudgets) -> list[int]:
    """Reserve all or nothing, and answer the ids in the same order; raises DoesNotFitError."""
    batch = as_batch([_row(hold) for hold in holds])
    if runtime.db.chains_changes:
        async with runtime.db.write_autocommit() as conn:
            stored = await conn.many(statements.reserve_at_once, Stored, batch=batch, **budgets.as_parameters)
    else:
        async with runtime.db.write() as conn:
            stored = await _reserve_in_steps(conn, holds, batch, budgets)
    ids = dict(stored)
    if len(ids) < len(holds):
        raise DoesNotFitError
    return [ids[hold.request_id] for hold in holds]


async def _reserve_in_steps(
    conn: WriteConnection, holds: Sequence[Hold], batch: str, budgets: DefaultBudgets
) -> list[Stored]:
    """The same where a statement changes one table; raises DoesNotFitError, so that the transaction rolls back."""
    accounts = {account_id for hold in holds for account_id in hold.account_ids}
    moved = await conn.many(statements.hold_on_accounts, int, batch=batch, **budgets.as_parameters)
    if len(moved) != len(accounts):
        raise DoesNotFitError
    stored = await conn.many(statements.insert_reservations, Stored, batch=batch)
    ids = dict(stored)
    entries = [_entry(ids[hold.request_id], hold) for hold in holds]
    await conn.affected(settlements.insert_entries, batch=as_batch(entries))
    return stored


async def insert_open(conn: WriteConnection, hold: Hold) -> int:
    """Store an open reservation with its entry; the caller moves the accounts in the same transaction."""
    (stored,) = await conn.many(statements.insert_reservations, Stored, batch=as_batch([_row(hold)]))
    await conn.affected(settlements.insert_entries, batch=as_batch([_entry(stored.id, hold)]))
    return stored.id


async def balances(conn: ReadConnection, account_ids: Sequence[int], budgets: DefaultBudgets) -> list[Balance]:
    """What the accounts have and may have at this moment."""
    batch = as_batch([{"id": account_id} for account_id in account_ids])
    return await conn.many(ledger.account_balances, Balance, batch=batch, **budgets.as_parameters)


def _row(hold: Hold) -> dict[str, object]:
    return {
        "request_id": hold.request_id,
        "unit": hold.unit,
        "amount": hold.amount,
        "accounts": orjson.dumps(list(hold.account_ids)).decode(),
        "executor_id": hold.executor_id,
        "deadline": hold.deadline,
        "details": None if hold.details is None else orjson.dumps(hold.details).decode(),
        "created_at": hold.created_at,
    }


def _entry(reservation_id: int, hold: Hold) -> dict[str, object]:
    return {
        "reservation_id": reservation_id,
        "kind": "reserve",
        "reserved_change": hold.amount,
        "settled_change": 0,
        "created_at": hold.created_at,
    }
