"""What plans cost: as Stripe last said, read when a price is first needed, and again by a schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import structlog

from app.context import Context
from app.database.connections import ReadConnection
from app.errors import PaymentsRefusedError, UnavailableError
from sql.statements import plan_prices as statements

# By how much a price of another interval is that of a month.
_MONTHS: Final = {"day": 1 / 30, "week": 7 / 30, "month": 1.0, "year": 12.0}

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


async def known_prices(conn: ReadConnection) -> dict[str, PlanPrice]:
    """The prices that are known, by their ids."""
    return {price.stripe_price_id: price for price in await conn.many(statements.prices, PlanPrice)}


async def prices_of(ctx: Context, price_ids: Iterable[str]) -> dict[str, PlanPrice]:
    """The prices of these ids, as far as Stripe has them; it is asked for those that are not known yet.

    Where Stripe does not answer, the others are all there is: a page without a price is better than none.
    """
    async with ctx.read() as conn:
        known = await known_prices(conn)
    wanted = dict.fromkeys(price_ids)
    for price_id in wanted:
        if price_id not in known and (price := await _read_price(ctx, price_id)) is not None:
            known[price_id] = price
    return {price_id: known[price_id] for price_id in wanted if price_id in known}


async def price_of(ctx: Context, price_id: str) -> PlanPrice | None:
    """The price with this id; None where Stripe has none, or does not answer."""
    return (await prices_of(ctx, [price_id])).get(price_id)


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
    if ctx.runtime.payments is None:
        return None
    try:
        price = await ctx.runtime.payments.price(price_id)
    except (UnavailableError, PaymentsRefusedError) as failure:
        log.warning("price_not_read", price=price_id, reason=failure.code)
        return None
    if price is None:
        return None
    row = PlanPrice(price.id, price.amount, price.currency, price.interval)
    async with ctx.write_autocommit() as conn:
        await conn.affected(statements.store_price, **row._asdict(), fetched_at=ctx.now())
    return row
