"""What plans cost: as Stripe last said, read when a price is first needed, and again by a schedule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import structlog

from app.context import Context
from app.database.connections import ReadConnection
from app.errors import PaymentsNotConfiguredError, PaymentsRefusedError, UnavailableError
from app.providers.payments import Price
from app.runtime import Runtime
from app.services.payments.payer import gateway_of
from sql.statements import plan_prices as statements

# By how much a price of another interval is that of a month.
_MONTHS: Final = {"day": 1 / 30, "week": 7 / 30, "month": 1.0, "year": 12.0}

# How long a page waits for prices that are not known yet, and after how long Stripe is asked for them again.
PATIENCE_SECONDS: Final = 2.0
ASKED_AGAIN_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class PlanPrice(NamedTuple):
    """A price at Stripe, in minor units for each interval."""

    stripe_price_id: str
    amount: int
    currency: str
    recurring_interval: str | None

    @property
    def monthly(self) -> int:
        """What it comes to in a month, rounded to a minor unit."""
        return round(self.amount / _MONTHS[self.recurring_interval or "month"])


class _Asked:
    """When this process asks again for a price that Stripe has not told, by the price's id."""

    def __init__(self, runtime: Runtime) -> None:
        self.again: dict[str, float] = {}


async def known_prices(conn: ReadConnection) -> dict[str, PlanPrice]:
    """The prices that are known, by their ids."""
    return {price.stripe_price_id: price for price in await conn.many(statements.prices, PlanPrice)}


async def prices_of(ctx: Context, price_ids: Iterable[str]) -> dict[str, PlanPrice]:
    """The prices of these ids, as far as Stripe has them; it is asked for those that are not known yet.

    A page waits for that a short while and goes on without: a page without a price is better than none. What Stripe
    has not told is asked again after a minute, so that not every page waits for it.
    """
    wanted = list(dict.fromkeys(price_ids))
    async with ctx.read() as conn:
        known = await known_prices(conn)
    ask_again, now = ctx.runtime.part(_Asked).again, time.monotonic()
    unknown = [price_id for price_id in wanted if price_id not in known and ask_again.get(price_id, 0.0) <= now]
    if unknown and ctx.runtime.payments is not None:
        ask_again |= dict.fromkeys(unknown, now + ASKED_AGAIN_SECONDS)
        reading = [ctx.runtime.begin(_read_price(ctx, price_id)) for price_id in unknown]
        done, _ = await asyncio.wait(reading, timeout=PATIENCE_SECONDS)
        known |= {price.stripe_price_id: price for task in done if (price := task.result()) is not None}
    return {price_id: known[price_id] for price_id in wanted if price_id in known}


async def needed_price(ctx: Context, price_id: str) -> PlanPrice:
    """The price with this id; raises PaymentsRefusedError where Stripe has none, and what the gateway raises."""
    async with ctx.read() as conn:
        known = (await known_prices(conn)).get(price_id)
    if known is not None:
        return known
    if (price := await _store(ctx, await gateway_of(ctx).price(price_id))) is None:
        raise PaymentsRefusedError(reason=f"it has no price {price_id}")
    return price


async def refresh_prices(ctx: Context) -> Mapping[str, object]:
    """Read the price of every plan at Stripe; answers how many were found, and of which plans none."""
    if ctx.runtime.payments is None:
        return {"state": "not configured"}
    async with ctx.read() as conn:
        plans = await conn.many(statements.prices_of_plans, _PlanWithPrice)
    found, missing = 0, []
    for plan in plans:
        if await _read_price(ctx, plan.stripe_price_id) is None:
            missing.append(plan.name)
        else:
            found += 1
    if missing:
        log.warning("plans_without_price", plans=missing)
    return {"prices": found, "plans_without_price": missing}


class _PlanWithPrice(NamedTuple):
    name: str
    stripe_price_id: str
    fetched_at: datetime | None


async def _read_price(ctx: Context, price_id: str) -> PlanPrice | None:
    """Ask Stripe for a price and store it; None where it has none, or does not answer."""
    try:
        return await _store(ctx, await gateway_of(ctx).price(price_id))
    except (UnavailableError, PaymentsRefusedError, PaymentsNotConfiguredError) as failure:
        log.warning("price_not_read", price=price_id, reason=failure.code)
        return None


async def _store(ctx: Context, price: Price | None) -> PlanPrice | None:
    if price is None:
        return None
    row = PlanPrice(price.id, price.amount, price.currency, price.interval)
    async with ctx.write_autocommit() as conn:
        await conn.affected(statements.store_price, **row._asdict(), fetched_at=ctx.now())
    return row
