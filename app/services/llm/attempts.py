"""Paying for attempts: each reserves its worst case before it leaves, and settles what it has cost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
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
from app.services.llm.settlement import BUDGETS, CANCELLED, Settlement, settle_as, settle_call
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
    details: dict[str, object]
    created_at: datetime


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
        now = ctx.now()
        longest = timedelta(seconds=settings.budget_wait_seconds + settings.provider_timeout_seconds)
        hold = Hold(
            request_id=uuid.uuid4().hex,
            unit="money",
            amount=amount,
            account_ids=await account_ids(ctx, money_accounts(self._caller.owner, ctx.today())),
            created_at=now,
            executor_id=ctx.runtime.executor_id if ctx.runtime.writes_heartbeats else None,
            deadline=now + longest + MARGIN,
            details=details,
        )
        try:
            reservation_id = await reserve_in_turn(
                ctx, hold, BUDGETS, settings.budget_wait_seconds, settle_as(CANCELLED)
            )
        except RefusedError as refused:
            raise refusal_of(ctx, refused.balance, amount) from None
        return Begun(reservation_id, plan, amount, details, hold.created_at)

    async def end(self, begun: Begun, outcome: Outcome) -> None:
        """Settle in one transaction with the row of the log; it goes on when the caller is cancelled."""
        settling = None
        try:
            settling = self._settling(begun, outcome)
            used = await asyncio.shield(settling)
        except (UnavailableError, asyncio.CancelledError) as failure:
            await self._ctx.runtime.to_its_end(self._settle_at_last(begun, outcome, settling))
            if isinstance(failure, asyncio.CancelledError):
                raise
        else:
            self._settled(begun, outcome, used)

    async def _settle_at_last(
        self, begun: Begun, outcome: Outcome, settling: asyncio.Future[int | None] | None
    ) -> None:
        """Settle, again where the database does not answer; ``settling`` is the first time, if that has begun."""
        for seconds in (*SETTLE_AGAIN, None):
            try:
                self._settled(begun, outcome, await (settling or self._settling(begun, outcome)))
            except UnavailableError as failure:
                settling = None
                if seconds is None:
                    # The answer is there all the same; the reservation's deadline takes its whole amount.
                    log.error("llm_call_not_settled", reservation_id=begun.reservation_id, reason=str(failure))  # noqa: TRY400
                    self._note(begun, outcome, begun.amount)
                    return
                await asyncio.sleep(seconds)
            else:
                return

    def _settling(self, begun: Begun, outcome: Outcome) -> asyncio.Future[int | None]:
        closing = Closing(begun.reservation_id, _ENDS[outcome.end], self._used(begun, outcome))
        settlement = Settlement(closing, _logged(outcome), begun.details, begun.created_at)
        return settle_call(self._ctx, settlement)

    def _settled(self, begun: Begun, outcome: Outcome, used: int | None) -> None:
        lines_of(self._ctx).settled()
        # One that was closed before was closed for a holder that seemed dead: at all that it had reserved.
        self._note(begun, outcome, begun.amount if used is None else used)

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
