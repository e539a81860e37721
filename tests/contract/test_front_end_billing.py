"""The billing page of the tenants' front end, call by call, and the operators' figures of what was earned."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, update
from support.admin import answer_of
from support.billing import Payer, payer, plan_of
from support.live import LiveServer
from support.rows import change
from support.shapes import address, moment, number, optional, text, whole, words, wrong_in

from app.services.upkeep.statistics import check_statistics
from sql.tables import checkouts, invoices, payment_methods, stripe_prices, subscriptions

BILLING: dict[str, Any] = {
    "subscription": {
        "planName": words,
        "planTier": optional(words),
        "status": words,
        "monthlyPrice": optional(number),
        "nextBillingDate": optional(moment),
        "autoRenewal": lambda value: isinstance(value, bool),
        "stripeSubscriptionId": optional(words),
        "stripeCustomerId": optional(words),
        "currentPeriodStart": optional(moment),
        "currentPeriodEnd": optional(moment),
    },
    "usage": {
        "monthlyRunQuota": whole,
        "currentMonthUsage": whole,
        "usagePercentage": number,
        "activationCodesTotal": whole,
        "activationCodesUsed": whole,
        "activationCodesRemaining": whole,
        "activationCodesPercentage": number,
    },
    "billingHistory": [
        {
            "id": words,
            "date": moment,
            "amount": number,
            "status": lambda value: value in {"paid", "pending", "failed"},
            "description": text,
            "invoiceUrl": optional(address),
            "paymentMethodLast4": optional(words),
        }
    ],
    "codePrices": [{"quantity": whole, "unitPrice": number}],
}
PLANS = [{"id": whole, "name": words, "monthlyRunQuota": whole, "price": optional(number), "stripePriceId": words}]
PAYMENT_METHODS = {
    "paymentMethods": [
        {
            "id": words,
            "type": words,
            "card": {"brand": words, "last4": words, "expMonth": whole, "expYear": whole},
            "isDefault": lambda value: isinstance(value, bool),
        }
    ]
}
CHECKOUT = {"checkoutUrl": address, "sessionId": words}


async def paying(live: LiveServer) -> Payer:
    """A tenant that has paid a year at once, failed to pay another time, and bought codes."""
    one = await payer(live, "active", codes=4)
    now = live.ctx.now()
    who = {"tenant_id": one.tenant.tenant_id}
    period = {"current_period_start": now, "current_period_end": now + timedelta(days=30)}
    stripe = {"stripe_customer_id": "cus_1", "stripe_subscription_id": "sub_1"}
    of_tenant = subscriptions.c.tenant_id == one.tenant.tenant_id
    await change(live, update(subscriptions).where(of_tenant).values(**period, **stripe))
    price_id = f"price_{one.tenant.plan.removeprefix('Plan ')}"
    price = {"amount": 120_000, "currency": "usd", "recurring_interval": "year", "fetched_at": now}
    await change(live, insert(stripe_prices).values(stripe_price_id=price_id, **price))
    for number_, state in enumerate(("paid", "failed", "pending")):
        invoice = {
            "stripe_invoice_id": f"in_{number_}",
            "state": state,
            "amount": 120_000,
            "amount_refunded": 20_050 if state == "paid" else 0,
            "currency": "usd",
            "description": "Pro",
            "url": "https://invoice.stripe.com/i/1" if state == "paid" else None,
            "card_last4": "4242" if state == "paid" else None,
            "issued_at": now - timedelta(days=number_ + 1),
            "paid_at": now if state == "paid" else None,
        }
        await change(live, insert(invoices).values(**who, **invoice))
    bought = {"kind": "codes", "quantity": 5, "amount": 2500, "currency": "usd", "created_at": now, "updated_at": now}
    for state, completed_at in (("paid", now), ("open", None)):
        await change(live, insert(checkouts).values(**who, **bought, state=state, completed_at=completed_at))
    card = {"type": "card", "brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030, "is_default": True}
    await change(live, insert(payment_methods).values(**who, stripe_payment_method_id="pm_1", **card))
    return one


async def test_what_the_page_reads(sanic_client: LiveServer) -> None:
    one = await paying(sanic_client)

    billing = await one.ask("GET")

    assert wrong_in(billing, BILLING) == []
    subscription = billing["subscription"]
    assert (subscription["monthlyPrice"], subscription["interval"], subscription["autoRenewal"]) == (100, "year", True)
    assert subscription["nextBillingDate"] == subscription["currentPeriodEnd"]
    assert [(each["amount"], each["status"]) for each in billing["billingHistory"]] == [
        (25.0, "paid"),
        (1200.0, "paid"),
        (1200.0, "failed"),
        (1200.0, "pending"),
    ]
    assert billing["billingHistory"][0]["description"] == "5 activation codes"
    assert billing["billingHistory"][1]["amountRefunded"] == 200.5
    assert billing["usage"]["activationCodesRemaining"] == 4
    assert wrong_in(await one.ask("GET", "/payment-methods"), PAYMENT_METHODS) == []
    plans = await one.ask("GET", "/plans")
    assert wrong_in(plans, PLANS) == []
    # The front end finds the plan that it has by its name.
    assert [plan["name"] for plan in plans if plan["isCurrent"]] == [subscription["planName"]]


async def test_what_the_page_reads_without_a_subscription(sanic_client: LiveServer) -> None:
    one = await payer(sanic_client)

    billing = await one.ask("GET")

    assert wrong_in(billing, {**BILLING, "billingHistory": lambda value: value == []}) == []
    assert (billing["subscription"]["planName"], billing["subscription"]["status"]) == ("No Plan", "inactive")
    assert (billing["usage"]["usagePercentage"], billing["billingHistory"]) == (0, [])
    assert await one.ask("GET", "/payment-methods") == {"paymentMethods": []}


async def test_nothing_is_due_where_nothing_is_renewed(sanic_client: LiveServer) -> None:
    one = await paying(sanic_client)
    of_tenant = subscriptions.c.tenant_id == one.tenant.tenant_id
    for values in ({"cancel_at_period_end": True}, {"state": "canceled"}, {"stripe_subscription_id": None}):
        await change(sanic_client, update(subscriptions).where(of_tenant).values(**values))

        subscription = (await one.ask("GET"))["subscription"]

        assert (subscription["nextBillingDate"], subscription["autoRenewal"]) == (None, False)


async def test_what_the_page_sends(sanic_client: LiveServer) -> None:
    one = await payer(sanic_client)
    plan_id = await plan_of(sanic_client, one.tenant.plan)

    for body in ({"planId": plan_id, "immediate": False}, {"plan_id": plan_id}):
        assert wrong_in(await one.ask("POST", "/upgrade", json=body), CHECKOUT) == []
    for quantity in (1, 5, 10, 20, 50):
        bought = await one.ask("POST", "/purchase-codes", json={"quantity": quantity})
        assert wrong_in(bought, {**CHECKOUT, "totalCost": number}) == []
        assert bought["totalCost"] == 5.0 * quantity
    assert (await one.upgrade(10**9, 404))["errorCode"] == "plan_missing"
    for body in ({}, {"planId": "1"}, {"planId": plan_id, "more": 1}):
        assert (await one.send("POST", "/upgrade", json=body)).status_code == 422
    for quantity in (0, 101, 1.5, None):
        assert (await one.send("POST", "/purchase-codes", json={"quantity": quantity})).status_code == 422


async def test_revenue_is_what_was_paid_and_not_given_back(sanic_client: LiveServer) -> None:
    live = sanic_client
    await paying(live)
    path = "analytics?date_range=7d"

    first = (await answer_of(live, path))["summaryStats"]

    assert (first["totalRevenue"], first["currency"]) == (1200 - 200.5 + 25, "usd")
    await change(
        live, update(checkouts).where(checkouts.c.state == "paid").values(state="refunded", amount_refunded=2500)
    )
    assert (await answer_of(live, path))["summaryStats"]["totalRevenue"] == 999.5
    await change(
        live, update(invoices).where(invoices.c.state == "pending").values(state="paid", paid_at=live.ctx.now())
    )
    assert (await answer_of(live, path))["summaryStats"]["totalRevenue"] == 2199.5
    assert (await check_statistics(live.ctx))["differences"] == 0
    await change(live, delete(invoices))
    assert (await answer_of(live, path))["summaryStats"]["totalRevenue"] == 0
    assert (await check_statistics(live.ctx))["differences"] == 0
