"""Prices of plans: read when they are first needed, and at night; a page does not wait for a Stripe that is away."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select
from support.billing import payer, plan_of
from support.live import LiveServer
from support.rows import rows

from app.errors import PaymentsUnavailableError
from app.services.billing.plans import ensure_plan
from app.services.payments import plan_prices
from app.services.payments.plan_prices import refresh_prices
from sql.tables import stripe_prices


async def asked(live: LiveServer, answer: Any = None) -> Any:
    """Count what Stripe is asked for; it answers as it does, or as it is told."""
    gateway = live.runtime.payments
    price = type(gateway).price
    seen: list[str] = []

    async def counted(gateway: Any, price_id: str) -> Any:
        seen.append(price_id)
        return await (answer() if answer else price(gateway, price_id))

    return patch.object(type(gateway), "price", counted), seen


async def test_a_price_is_asked_for_once(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await payer(live, "active")
    await ensure_plan(live.ctx, name="Priceless", price_id="price_missing_1", quota=1)
    counting, seen = await asked(live)

    with counting:
        shown = [await tenant.ask("GET", "/plans") for _ in range(2)]
        billing = await tenant.ask("GET")
        again = await refresh_prices(live.ctx)

    prices = {plan["name"]: plan["price"] for plan in shown[0]}
    assert shown[0] == shown[1]
    assert billing["subscription"]["monthlyPrice"] == prices[tenant.tenant.plan] > 0
    assert len(seen) == 2 * len(prices)
    assert again["prices"] == len(await rows(live, select(stripe_prices)))


async def silent() -> None:
    await asyncio.sleep(60)


async def unavailable() -> None:
    raise PaymentsUnavailableError


@pytest.mark.parametrize("answer", [silent, unavailable])
async def test_a_page_goes_on_without_a_price(live_at_stripe: LiveServer, answer: Any) -> None:
    live = live_at_stripe
    tenant = await payer(live, "active")
    counting, seen = await asked(live, answer)

    with counting, patch.object(plan_prices, "PATIENCE_SECONDS", 0.05):
        shown = [await tenant.ask("GET") for _ in range(3)]

    assert [each["subscription"]["monthlyPrice"] for each in shown] == [None] * 3
    assert len(seen) == 1


async def test_a_preview_needs_the_price(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await payer(live)
    plan, _ = await ensure_plan(live.ctx, name="Priceless", price_id="price_missing_1", quota=1)
    query = {"params": {"planId": plan.id}}
    counting, _ = await asked(live, unavailable)

    with counting:
        assert (await tenant.ask("GET", "/preview", 503, **query))["errorCode"] == "payments_unavailable"
    assert (await tenant.ask("GET", "/preview", 502, **query))["errorCode"] == "payments_refused"
    known = await tenant.ask("GET", "/preview", params={"planId": await plan_of(live, tenant.tenant.plan)})
    assert (known["isChange"], known["amountDue"] == known["nextAmount"] > 0) == (False, True)
