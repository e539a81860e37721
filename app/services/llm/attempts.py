"""Paying for attempts: each reserves its worst case before it leaves, and settles what it has cost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from app.context import Context
from app.errors import UnavailableError
from app.providers.metering import End, Outcome, Plan
from app.services.ledger import settlements
from app.services.ledger.accounts import account_ids, money_accounts
from app.services.ledger.reservations import Hold
from app.services.ledger.settlements import Closing
from app.services.ledger.waiting import RefusedError, lines_of, reserve_in_turn
from app.services.llm.model_price import ModelPrice, cost, worst_case
from app.services.llm.refusals import refusal_of
from app.services.llm.setting_values import Provider
from app.services.llm.settlement import BUDGETS, CANCELLED, settle_as, settle_call
from app.services.llm.usage_log import Caller, LoggedCall, details_of

# How much longer a reservation lives than its attempt may take, so that only a dead holder's runs out.
MARGIN: Final = timedelta(seconds=30)
# A settlement that meets an outage is repeated after so many seconds each; after the last one the deadline settles.
SETTLE_AGAIN: Final = (0.2, 1.0, 5.0)
_ENDS: Final[dict[End, settlements.End]] = {
    "not_sent": "released",
    "refused": "released",
    "answered": "settled",
    "unconfirmed": "unconfirmed",
}

log = structlog.get_logger(__name__)


class Begun(NamedTuple):
    """An attempt that was reserved for; the amount is in 1e-9 USD."""

    reservation_id: int
    plan: Plan
    amount: int


class Attempted(NamedTuple):
    """An attempt as it has ended; ``cost`` and ``reserved`` are in 1e-9 USD."""

    provider: str
    model: str
    end: End
    reserved: int
    cost: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    duration_ms: int
    error: str | None


class LedgerMeter:
    """The meter of one call: every attempt of it has a reservation and a row of the log."""

    def __init__(self, ctx: Context, caller: Caller, prices: Mapping[Provider, ModelPrice]) -> None:
        self._ctx = ctx
        self._caller = caller
        self._prices: dict[str, ModelPrice] = {str(provider): price for provider, price in prices.items()}
        self.attempts: list[Attempted] = []

    async def begin(self, plan: Plan) -> Begun:
        """Reserve the worst case, waiting for room as long as that may help; raises BudgetExceededError."""
        ctx, settings = self._ctx, self._ctx.runtime.settings
        price = self._prices[plan.provider]
        amount = worst_case(price, input_bound=plan.input_bound, max_tokens=plan.max_tokens)
        details = details_of(self._caller, plan.provider, plan.model)
        longest = timedelta(seconds=settings.budget_wait_seconds + settings.provider_timeout_seconds)
        hold = Hold(
            request_id=uuid.uuid4().hex,
            unit="money",
            amount=amount,
            account_ids=await account_ids(ctx, money_accounts(self._caller.owner, ctx.today())),
            executor_id=ctx.runtime.executor_id if ctx.runtime.writes_heartbeats else None,
            deadline=ctx.now() + longest + MARGIN,
            details=details,
        )
        try:
            reservation_id = await reserve_in_turn(
                ctx, hold, BUDGETS, settings.budget_wait_seconds, settle_as(CANCELLED)
            )
        except RefusedError as refused:
            raise refusal_of(ctx, refused.balance, amount) from None
        return Begun(reservation_id, plan, amount)

    async def end(self, begun: Begun, outcome: Outcome) -> None:
        """Settle in one transaction with the row of the log; it goes on when the caller is cancelled."""
        await self._ctx.runtime.to_its_end(self._settle_at_last(begun, outcome))

    async def _settle_at_last(self, begun: Begun, outcome: Outcome) -> None:
        for seconds in (*SETTLE_AGAIN, None):
            try:
                await self._settle(begun, outcome)
            except UnavailableError as failure:
                if seconds is None:
                    # The answer is there all the same; the reservation's deadline takes its whole amount.
                    log.error("llm_call_not_settled", reservation_id=begun.reservation_id, reason=str(failure))  # noqa: TRY400
                    self._note(begun, outcome, begun.amount)
                    return
                await asyncio.sleep(seconds)
            else:
                return

    async def _settle(self, begun: Begun, outcome: Outcome) -> None:
        ctx = self._ctx
        closing = Closing(begun.reservation_id, _ENDS[outcome.end], self._used(begun, outcome))
        closed = await settle_call(ctx, closing, _logged(outcome))
        lines_of(ctx).settled()
        # One that was closed before was closed for a holder that seemed dead: at all that it had reserved.
        self._note(begun, outcome, begun.amount if closed is None else closed.used)

    def _used(self, begun: Begun, outcome: Outcome) -> int | None:
        """In 1e-9 USD; None for all that was reserved."""
        if outcome.end == "unconfirmed":
            return None
        if outcome.usage is None:
            return 0
        return cost(self._prices[begun.plan.provider], **outcome.usage._asdict())

    def _note(self, begun: Begun, outcome: Outcome, spent: int) -> None:
        call = _logged(outcome)
        self.attempts.append(
            Attempted(
                provider=begun.plan.provider,
                model=begun.plan.model,
                end=outcome.end,
                reserved=begun.amount,
                cost=spent,
                input_tokens=call.input_tokens,
                cached_input_tokens=call.cached_input_tokens,
                output_tokens=call.output_tokens,
                duration_ms=outcome.duration_ms,
                error=outcome.error,
            )
        )


def _logged(outcome: Outcome) -> LoggedCall:
    usage = outcome.usage
    return LoggedCall(
        input_tokens=usage.input_tokens if usage else 0,
        cached_input_tokens=usage.cached_input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        duration_ms=outcome.duration_ms,
        error=outcome.error,
        text=outcome.text,
    )
