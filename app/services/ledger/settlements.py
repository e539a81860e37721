"""Settlements: reservations are closed once, and what was used is moved on their accounts, all in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import Final, Literal, NamedTuple

import orjson

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.services.ledger.reservations import DefaultBudgets
from sql.statements import settlements as statements

End = Literal["settled", "unconfirmed", "released"]
# What the entry of each end is called.
KINDS: Final[dict[End, str]] = {"settled": "settle", "unconfirmed": "unconfirmed", "released": "release"}


class Closing(NamedTuple):
    """A reservation that is to be closed; ``used_amount`` None means all that was reserved, and it may be more."""

    reservation_id: int
    state: End
    used_amount: int | None


class Closed(NamedTuple):
    """A reservation that this transaction has closed; ``used`` of ``amount`` is what its accounts are moved by."""

    id: int
    request_id: str
    state: End
    amount: int
    used: int
    accounts: str
    details: str | None
    created_at: datetime


class Standing(NamedTuple):
    """An account, what is settled on it, and its cap at this moment; ``cap`` None means no limit."""

    id: int
    key: str
    level: str
    tenant_id: int | None
    project_id: str | None
    period: str
    starts_on: date | None
    settled: int
    cap: int | None


class Moved(NamedTuple):
    """An account as it was before a settlement, and what that adds to it."""

    before: Standing
    used: int


class Books:
    """What else belongs to a settlement's transaction, for whoever keeps books of it; by itself nothing."""

    async def log(self, conn: WriteConnection, closed: Sequence[Closed]) -> None:
        """Write what there is to write of each reservation, before its accounts are locked."""

    async def moved(self, conn: WriteConnection, accounts: Sequence[Moved]) -> None:
        """Write what follows from the accounts, which are locked until the end of the transaction."""

    def committed(self) -> None:
        """Begin what follows from the commit."""


# Closes reservations in a transaction of its own, and answers those that nobody has closed before.
Settle = Callable[[Context, Sequence[Closing]], Awaitable[Sequence[Closed]]]


async def settle(
    ctx: Context, closings: Sequence[Closing], budgets: DefaultBudgets, books: Books | None = None
) -> list[Closed]:
    """Close these reservations; one that was closed before is left as it is, and is not in the answer."""
    books, now = books or Books(), ctx.now()
    async with ctx.write() as conn:
        closed = await close_all(conn, closings, now)
        if closed:
            await books.log(conn, closed)
            await books.moved(conn, await move_all(conn, closed, budgets))
    if closed:
        books.committed()
    return closed


async def close_all(conn: WriteConnection, closings: Sequence[Closing], now: datetime) -> list[Closed]:
    """Close these in the caller's transaction, which then calls ``move_all`` with what this answers."""
    batch = as_batch([closing._asdict() for closing in closings])
    closed = await conn.many(statements.close_reservations, Closed, batch=batch, now=now)
    if closed:
        entries = [
            {
                "reservation_id": each.id,
                "kind": KINDS[each.state],
                "reserved_change": -each.amount,
                "settled_change": each.used,
                "created_at": now,
            }
            for each in closed
        ]
        await conn.affected(statements.insert_entries, batch=as_batch(entries))
    return closed


async def move_all(conn: WriteConnection, closed: Sequence[Closed], budgets: DefaultBudgets) -> list[Moved]:
    """Take back what was held from the accounts, and add what was used; the last locks of the transaction."""
    held: Counter[int] = Counter()
    used: Counter[int] = Counter()
    for each in closed:
        for account_id in orjson.loads(each.accounts):
            held[account_id] += each.amount
            used[account_id] += each.used
    ids = as_batch([{"id": account_id} for account_id in held])
    standings = await conn.many(statements.accounts_locked, Standing, batch=ids, **budgets.as_parameters)
    moves = [{"id": account_id, "held": held[account_id], "used": used[account_id]} for account_id in held]
    await conn.affected(statements.move_accounts, batch=as_batch(moves))
    return [Moved(standing, used[standing.id]) for standing in standings]
