"""Settling calls: the reservation, the row of the log and the alerts of what that reaches, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from app.context import Actor, Context
from app.database.connections import WriteConnection, as_batch
from app.errors import ShuttingDownError
from app.runtime import Coalesced, Runtime
from app.services.ledger.reservations import PARTS, DefaultBudgets
from app.services.ledger.settlements import KINDS, Books, Closed, Closing, Moved, Settle, settle
from app.services.ledger.upkeep import close_abandoned
from app.services.llm.budget_alerts import NOTHING, newly_reached, raise_reached
from app.services.llm.system_settings import DEFAULTS
from app.services.llm.usage_log import LoggedCall, call_columns, call_row, log_calls
from sql.statements import call_settlements as statements

# The system's budgets until somebody changes them.
BUDGETS: Final = DefaultBudgets(DEFAULTS.monthly_budget, DEFAULTS.daily_budget)
LOST = "The process that made the call has ended without settling it; all that was reserved counts as used."
SETTLER: Final = Actor("system", "settlement of calls")
CANCELLED = "The call was cancelled before it left."


class CallBooks(Books):
    """The log of the calls that are settled, and the alerts of the levels that they reach."""

    def __init__(self, ctx: Context, calls: Mapping[int, LoggedCall], otherwise: LoggedCall) -> None:
        self._ctx = ctx
        self._calls, self._otherwise = calls, otherwise
        self._announcement = NOTHING

    async def log(self, conn: WriteConnection, closed: Sequence[Closed]) -> None:
        """Write a row for each call; a reservation that says nothing of one was for none."""
        rows = [
            call_row(self._ctx, each, orjson.loads(each.details), self._calls.get(each.id, self._otherwise))
            for each in closed
            if each.details is not None
        ]
        await log_calls(conn, rows)

    async def moved(self, conn: WriteConnection, accounts: Sequence[Moved]) -> None:
        """Raise what is reached now and was not before; the accounts are locked, so one settlement alone sees it."""
        self._announcement = await raise_reached(conn, self._ctx, list(newly_reached(accounts)))

    def committed(self) -> None:
        """Have the mails of critical alerts sent."""
        self._announcement.committed(self._ctx)


class Settlement(NamedTuple):
    """A call that is to be settled; ``details`` and ``created_at`` are its reservation's."""

    closing: Closing
    call: LoggedCall
    details: Mapping[str, object]
    created_at: datetime


class Settled(NamedTuple):
    """What a statement says that settles a batch: whether it has, and one of the reservations that it has closed."""

    is_plain: bool
    id: int | None
    used: int | None


def settle_call(ctx: Context, settlement: Settlement) -> asyncio.Future[int | None]:
    """Settle one call, alone or with others that wait; the future answers what was used in 1e-9 USD.

    None if its reservation was closed before, and then nothing changes. It is settled even if nobody waits for it, and
    a worker that stops settles it alone.
    """
    try:
        return ctx.runtime.coalescer(SETTLEMENTS).put(settlement)
    except ShuttingDownError:
        return asyncio.ensure_future(_settle_alone(ctx.runtime, settlement))


async def _settle_alone(runtime: Runtime, settlement: Settlement) -> int | None:
    (used,) = await _settle_all(runtime, [settlement])
    return used


async def _settle_all(runtime: Runtime, settlements: Sequence[Settlement]) -> list[int | None]:
    """Settle all or nothing, and answer what was used in the same order; None for what was closed before."""
    ctx = Context(runtime, SETTLER)
    # The first of those who close the same reservation does, or its accounts would be moved twice.
    first = {each.closing.reservation_id: each for each in reversed(settlements)}
    used = await _at_once(ctx, list(first.values())) if runtime.db.chains_changes else None
    if used is None:
        calls = {reservation_id: each.call for reservation_id, each in first.items()}
        closings = [each.closing for each in first.values()]
        closed = await settle(ctx, closings, BUDGETS, CallBooks(ctx, calls, LoggedCall()))
        used = {each.id: each.used for each in closed}
    return [used.pop(each.closing.reservation_id, None) for each in settlements]


async def _at_once(ctx: Context, settlements: Sequence[Settlement]) -> dict[int, int] | None:
    """What was used of each reservation, by one statement; None, and nothing is done, if there are alerts to raise."""
    batch = as_batch([_row(ctx, each) for each in settlements])
    async with ctx.write_autocommit() as conn:
        rows = await conn.many(statements.settle_at_once, Settled, batch=batch, now=ctx.now(), **BUDGETS.as_parameters)
    if not rows[0].is_plain:
        return None
    return {row.id: row.used for row in rows if row.id is not None and row.used is not None}


def _row(ctx: Context, settlement: Settlement) -> dict[str, object]:
    closing = settlement.closing
    return {
        **call_columns(ctx, settlement.details, settlement.call, settlement.created_at),
        **closing._asdict(),
        "kind": KINDS[closing.state],
    }


async def _run(runtime: Runtime, settlements: Sequence[Settlement]) -> Sequence[int | None]:
    return await _settle_all(runtime, settlements)


# Calls that end at the same time share a transaction.
SETTLEMENTS: Final = Coalesced(
    "settlements", _run, lanes=1, parts=PARTS, owner=lambda settlement: settlement.details.get("tenant_id")
)


def settle_as(error: str) -> Settle:
    """Settles calls of which nobody knows more than what they were made for; the log bears the error."""

    async def settle_calls(ctx: Context, closings: Sequence[Closing]) -> Sequence[Closed]:
        return await settle(ctx, closings, BUDGETS, CallBooks(ctx, {}, LoggedCall(error=error)))

    return settle_calls


async def close_abandoned_calls(ctx: Context) -> Mapping[str, object]:
    """Settle the calls of dead processes as if all that they reserved was used, and write their rows of the log."""
    return await close_abandoned(ctx, settle_as(LOST))
