"""Settling calls: the reservation, the row of the log and the alerts of what that reaches, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from app.context import Context
from app.database.connections import WriteConnection
from app.services.ledger.reservations import DefaultBudgets
from app.services.ledger.settlements import Books, Closed, Closing, Moved, Settle, settle
from app.services.ledger.upkeep import close_abandoned
from app.services.llm.budget_alerts import NOTHING, newly_reached, raise_reached
from app.services.llm.system_settings import DEFAULTS
from app.services.llm.usage_log import LoggedCall, call_row, log_calls

# The system's budgets until somebody changes them.
BUDGETS: Final = DefaultBudgets(DEFAULTS.monthly_budget, DEFAULTS.daily_budget)
LOST = "The process that made the call has ended without settling it; all that was reserved counts as used."
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


async def settle_call(ctx: Context, closing: Closing, call: LoggedCall) -> Closed | None:
    """Settle one call; None if its reservation was closed before, and then nothing changes."""
    closed = await settle(ctx, [closing], BUDGETS, CallBooks(ctx, {closing.reservation_id: call}, call))
    return closed[0] if closed else None


def settle_as(error: str) -> Settle:
    """Settles calls of which nobody knows more than what they were made for; the log bears the error."""

    async def settle_calls(ctx: Context, closings: Sequence[Closing]) -> Sequence[Closed]:
        return await settle(ctx, closings, BUDGETS, CallBooks(ctx, {}, LoggedCall(error=error)))

    return settle_calls


async def close_abandoned_calls(ctx: Context) -> Mapping[str, object]:
    """Settle the calls of dead processes as if all that they reserved was used, and write their rows of the log."""
    return await close_abandoned(ctx, settle_as(LOST))
