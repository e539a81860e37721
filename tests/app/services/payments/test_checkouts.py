"""Sessions at Stripe: one for however many clicks, and nothing half done when Stripe does not answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import event, insert, select, update
from support.billing import Payer, at_stripe, days_pass, pay, payer, plan_of, settle, simulator_of
from support.builders import licensed
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.rows import change, rows
from support.stripe import HANGS_UP, elsewhere

from app.errors import PaymentsUnavailableError
from app.providers.stripe import StripeGateway
from app.providers.stripe_simulator.portal_sessions import confirm_change
from app.services.payments.checkouts import MAX_AN_HOUR
from app.services.payments.purchases import cost_of
from app.services.tenants.deletion import delete_tenant
from app.settings.kinds import CodePrice
from sql.tables import checkouts, plans, stripe_customers

TIERS = ["1: 500", "10: 350", "50: 250"]


@pytest.fixture
async def live(database: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with a price table of several tiers."""
    async with live_server(settings_for(database, tmp_path, code_prices=TIERS)) as served:
        yield served


@pytest.fixture
async def impatient(database: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server that waits for Stripe for three seconds, and has asked it before."""
    more = {"response_timeout_seconds": 8, "device_wait_seconds": 1}
    async with live_server(settings_for(database, tmp_path, **more)) as served:
        assert served.runtime.payments is not None
        await served.runtime.payments.check()
        yield served


async def stored(live: LiveServer) -> list[tuple[str, str]]:
    """The kinds and states of what tenants set out to pay for."""
    found = await rows(live, select(checkouts.c.kind, checkouts.c.state).order_by(checkouts.c.id))
    return [(row.kind, row.state) for row in found]


async def two_plans(live: LiveServer) -> tuple[Payer, int, int]:
    """A tenant without a subscription, and the ids of two plans."""
    one, other = await payer(live), await licensed(live, state=None)
    return one, await plan_of(live, one.tenant.plan), await plan_of(live, other.plan)


async def test_fifty_clicks_at_once_open_one_session(live: LiveServer) -> None:
    tenant, plan_id, _ = await two_plans(live)

    answers = await asyncio.gather(*(tenant.upgrade(plan_id) for _ in range(50)))

    assert len({(answer["checkoutUrl"], answer["sessionId"]) for answer in answers}) == 1
    assert len(await at_stripe(live, "customer")) == len(await at_stripe(live, "checkout.session")) == 1
    assert await stored(live) == [("subscription", "open")]


async def test_one_plan_is_paid_for_at_a_time(live: LiveServer) -> None:
    tenant, plan_id, other_id = await two_plans(live)

    first, second = await tenant.upgrade(plan_id), await tenant.upgrade(other_id)

    assert first["sessionId"] != second["sessionId"]
    states = {session["id"]: session["status"] for session in await at_stripe(live, "checkout.session")}
    assert states == {first["sessionId"]: "expired", second["sessionId"]: "open"}
    assert await stored(live) == [("subscription", "expired"), ("subscription", "open")]


async def test_choices_at_the_same_moment_leave_one_session_open(live: LiveServer) -> None:
    tenant, plan_id, other_id = await two_plans(live)
    body = [{"planId": plan} for plan in (plan_id, other_id) * 5]

    answers = await asyncio.gather(*(tenant.send("POST", "/upgrade", json=each) for each in body))

    # Who is told that something else was chosen meanwhile can choose again.
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    open_sessions = [each for each in await at_stripe(live, "checkout.session") if each["status"] == "open"]
    assert Counter(state for _, state in await stored(live))["open"] == len(open_sessions) == 1


async def test_what_a_checkout_is_for_is_said_to_stripe(live: LiveServer) -> None:
    tenant, plan_id, _ = await two_plans(live)
    origin = live.runtime.settings.allowed_origins[0]

    answer = await tenant.upgrade(plan_id)
    bought = await tenant.ask("POST", "/purchase-codes", json={"quantity": 10, "label": " Berlin "})

    sessions = {session["id"]: session for session in await at_stripe(live, "checkout.session")}
    plan, codes = sessions[answer["sessionId"]], sessions[bought["sessionId"]]
    tenant_id = str(tenant.tenant.tenant_id)
    assert plan["metadata"] == {
        "type": "subscription_upgrade",
        "tenant_id": tenant_id,
        "plan_id": str(plan_id),
        "checkout_id": plan["metadata"]["checkout_id"],
    }
    assert codes["metadata"] == {
        "type": "activation_codes",
        "tenant_id": tenant_id,
        "quantity": "10",
        "label": "Berlin",
        "checkout_id": str(bought["purchaseId"]),
    }
    assert (plan["success_url"], plan["cancel_url"]) == (
        f"{origin}/billing?success=true",
        f"{origin}/billing?canceled=true",
    )
    assert codes["success_url"] == f"{origin}/billing?success=true&codes=10"
    assert (codes["amount_total"], bought["totalCost"], bought["currency"]) == (3500, 35.0, "usd")
    (customer,) = await at_stripe(live, "customer")
    assert customer["metadata"]["tenant_id"] == tenant_id
    assert [row.stripe_customer_id for row in await rows(live, select(stripe_customers))] == [customer["id"]]


@pytest.mark.parametrize(("quantity", "cost"), [(1, 500), (9, 4500), (10, 3500), (49, 17150), (50, 12500)])
def test_codes_cost_what_the_table_says(quantity: int, cost: int) -> None:
    assert cost_of([CodePrice(1, 500), CodePrice(10, 350), CodePrice(50, 250)], quantity) == cost


async def test_a_purchase_that_is_repeated_is_one(live: LiveServer) -> None:
    tenant = await payer(live)
    buy = {"method": "POST", "path": "/purchase-codes"}

    answers = await asyncio.gather(*(tenant.ask(**buy, json={"quantity": 5}) for _ in range(10)))
    others = [await tenant.ask(**buy, json=body) for body in ({"quantity": 6}, {"quantity": 5, "label": "x"})]

    assert len({answer["sessionId"] for answer in answers}) == 1
    assert len({answer["sessionId"] for answer in (*answers, *others)}) == 3
    await change(live, update(checkouts).values(created_at=live.ctx.now() - timedelta(minutes=11)))
    again = await tenant.ask(**buy, json={"quantity": 5})
    assert again["sessionId"] not in {answer["sessionId"] for answer in answers}


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_tenant_is_told_that_stripe_does_not_answer(impatient: LiveServer, is_silent: bool) -> None:
    live = impatient
    tenant, plan_id, _ = await two_plans(live)
    asked: list[str] = []

    async def failing(gateway: object, **what: Any) -> Any:
        asked.append(what["key"])
        # Of SQLite there is one writer: nobody could write if whoever waits for Stripe had it.
        async with live.ctx.write():
            pass
        await asyncio.sleep(60 if is_silent else 0)
        raise PaymentsUnavailableError

    with patch.object(type(live.runtime.payments), "open_subscription", failing):
        answers = await asyncio.gather(*(tenant.send("POST", "/upgrade", json={"planId": plan_id}) for _ in range(3)))
        left = await stored(live)

    assert {(answer.status_code, answer.json()["errorCode"]) for answer in answers} == {(503, "payments_unavailable")}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    # Who clicks after the first was refused asks again, with the same key: Stripe would still open one session.
    assert (len(set(asked)), left) == (1, [("subscription", "opening")])
    if not is_silent:
        # The next click goes on where this one has stopped, with the same key.
        await tenant.upgrade(plan_id)
        assert await stored(live) == [("subscription", "open")]
        assert len(await at_stripe(live, "checkout.session")) == 1


async def test_while_stripe_is_silent_a_click_asks_nobody_and_later_goes_on_with_its_key(live: LiveServer) -> None:
    tenant, plan_id, other_id = await two_plans(live)
    seconds, asked = [0.0], Counter[str]()
    session = {"id": "cs_1", "object": "checkout.session", "url": "https://pay.test/1", "expires_at": 2_000_000_000}

    def note(conn: Any, cursor: Any, statement: str, *more: Any) -> None:
        asked.update(table.name for table in (checkouts, plans, stripe_customers) if table.name in statement)

    for engine in (live.runtime.db.reader, live.runtime.db.writer):
        event.listen(engine.sync_engine, "before_cursor_execute", note)
    customer = (200, {"id": "cus_1", "object": "customer"})
    async with elsewhere(customer, *[(HANGS_UP, {})] * 3, (401, {"error": {}}), (200, session)) as there:
        gateway = StripeGateway(
            "sk_test_1", api_base=there.base, timeout_seconds=20, retries=0, hold_seconds=0, clock=lambda: seconds[0]
        )
        with patch.object(live.runtime, "payments", gateway):
            for _ in range(3):
                await tenant.upgrade(plan_id, 503)
            assert set(asked) == {"checkouts", "plans", "stripe_customers"}
            asked.clear()
            seconds[0] += 2
            refused = [await tenant.send("POST", "/upgrade", json={"planId": each}) for each in (plan_id, other_id)]
            refused.append(await tenant.send("POST", "/purchase-codes", json={"quantity": 5}))
            assert (asked, len(there.heads)) == ({}, 4)
            for answer in refused:
                assert (answer.status_code, answer.json()["errorCode"]) == (503, "payments_unavailable")
                assert answer.headers["retry-after"] == "3"
            assert await stored(live) == [("subscription", "opening")]

            seconds[0] += 3
            await tenant.upgrade(plan_id, 503)
            assert gateway._breaker._trying is not None
            await gateway._breaker._trying
            assert (await tenant.upgrade(plan_id))["sessionId"] == "cs_1"
            await gateway.close()
    keys = [head.get("idempotency-key") for head in there.heads]
    assert keys == [f"customer:{tenant.tenant.tenant_id}", *[keys[1]] * 3, None, keys[1]]
    assert await stored(live) == [("subscription", "open")]


async def test_clicks_in_two_processes_open_one_session(database: str, tmp_path: Path) -> None:
    settings = settings_for(database, tmp_path)
    async with live_server(settings) as one, live_server(settings) as other:
        tenant, plan_id, _ = await two_plans(one)
        browsers = (tenant, tenant._replace(live=other))

        answers = await asyncio.gather(*(browser.upgrade(plan_id) for browser in browsers * 10))

        assert len({answer["sessionId"] for answer in answers}) == 1
        assert len(await at_stripe(one, "checkout.session")) == 1


async def test_fifty_clicks_change_a_living_subscription_once(live: LiveServer) -> None:
    tenant, plan_id, other_id = await two_plans(live)
    await pay(live, (await tenant.upgrade(plan_id))["sessionId"])

    answers = await asyncio.gather(*(tenant.upgrade(other_id) for _ in range(50)))

    (session_id,) = {answer["sessionId"] for answer in answers}
    assert len(await at_stripe(live, "billing_portal.session")) == 1
    await simulator_of(live).run(lambda books: confirm_change(books, session_id))
    await settle(live)
    (subscription,) = await at_stripe(live, "subscription")
    assert [item["price"]["id"] for item in subscription["items"]["data"]] == [await price_of(live, other_id)]
    assert await stored(live) == [("subscription", "paid"), ("plan_change", "paid")]


async def price_of(live: LiveServer, plan_id: int) -> str:
    ((price_id,),) = await rows(live, select(plans.c.stripe_price_id).where(plans.c.id == plan_id))
    return str(price_id)


async def test_a_tenant_that_is_deleted_meanwhile_gets_no_session(live: LiveServer) -> None:
    tenant, plan_id, _ = await two_plans(live)
    gateway = live.runtime.payments
    open_subscription = type(gateway).open_subscription

    async def deleting(gateway: Any, **what: Any) -> Any:
        await delete_tenant(live.ctx, tenant.tenant.slug)
        return await open_subscription(gateway, **what)

    with patch.object(type(gateway), "open_subscription", deleting):
        answer = await tenant.send("POST", "/upgrade", json={"planId": plan_id})

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "checkout_replaced")
    assert [session["status"] for session in await at_stripe(live, "checkout.session")] == ["expired"]


async def test_what_nobody_pays_is_closed(live: LiveServer) -> None:
    tenant, plan_id, _ = await two_plans(live)
    await tenant.upgrade(plan_id)
    await tenant.ask("POST", "/purchase-codes", json={"quantity": 1})

    await days_pass(live, 2)

    assert await stored(live) == [("subscription", "expired"), ("codes", "expired")]
    await tenant.upgrade(plan_id)
    assert (await stored(live))[-1] == ("subscription", "open")


async def test_sessions_are_opened_at_a_pace(live: LiveServer) -> None:
    tenant = await payer(live)
    now = live.ctx.now()
    row = {"kind": "codes", "state": "expired", "quantity": 1, "created_at": now, "updated_at": now}
    await change(live, insert(checkouts).values([{"tenant_id": tenant.tenant.tenant_id, **row}] * MAX_AN_HOUR))

    refused = await tenant.send("POST", "/purchase-codes", json={"quantity": 1})

    assert (refused.status_code, refused.json()["errorCode"]) == (429, "rate_limited")
    assert 3590 < int(refused.headers["retry-after"]) <= 3600
    await change(live, update(checkouts).values(created_at=now - timedelta(hours=1)))
    await tenant.ask("POST", "/purchase-codes", json={"quantity": 1})
