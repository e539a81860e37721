"""Stripe's webhook: what is refused, what is ignored, what is stored once, and what follows from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from support.admin import Admin, as_operator
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.statements import counted_statements
from support.stripe_histories import history, refunds
from support.stripe_places import signed, stored, with_plans, with_tenant
from support.stripe_story import PRO, Event, Story

from app.services.billing.fact_log import FOLD
from app.services.payments.folding import customers_waiting, fold_waiting
from sql.tables import activation_codes, billing_facts, checkouts, platform_events, stripe_customers, subscriptions

OLD, NEW = "whsec_old", "whsec_new"
WEBHOOK = "/billing/stripe/webhook"


@pytest.fixture
async def portal(database: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server whose secret is being changed."""
    changes = {"stripe_webhook_secret": SecretStr(f"{OLD}, {NEW}")}
    async with live_server(settings_for(database, tmp_path).model_copy(update=changes)) as live:
        yield live


async def sent(portal: LiveServer, event: Any, secret: str = NEW, **at: float) -> tuple[int, Any]:
    """The answer to a delivery."""
    body = event if isinstance(event, bytes) else orjson.dumps(event)
    answer = await portal.http.post(WEBHOOK, content=body, headers=signed(body, secret, **at))
    return answer.status_code, answer.json()


async def count(portal: LiveServer, table: Any, *conditions: Any) -> int:
    async with portal.ctx.read() as conn:
        return await conn.one(select(func.count()).select_from(table).where(*conditions), int)


def purchase(name: str, tenant_id: int, quantity: int = 7) -> list[Event]:
    story = Story(name, tenant_id)
    story.buy_codes(quantity)
    return story.events


async def test_what_is_refused_and_what_is_ignored(portal: LiveServer) -> None:
    event = purchase("refused", await with_tenant(portal.ctx, "refused"))[-1]
    body = orjson.dumps(event)
    now = time.time()

    async def code_of(content: bytes, headers: dict[str, str]) -> tuple[int, str]:
        answer = await portal.http.post(WEBHOOK, content=content, headers=headers)
        return answer.status_code, answer.json().get("errorCode") or answer.json().get("code")

    refused = [
        await code_of(body, {}),
        await code_of(body, {"stripe-signature": "nonsense"}),
        await code_of(body, {"stripe-signature": "t=1,v1="}),
        await code_of(body, signed(body, "whsec_of_somebody_else")),
        await code_of(body + b" ", signed(body, NEW)),
        await code_of(body, signed(body, NEW, now - 3600)),
    ]
    malformed = [
        await code_of(content, signed(content, NEW))
        for content in (
            b"not json",
            b"[]",
            b"{}",
            b"\xff\xfe",
            orjson.dumps({**event, "data": None}),
            orjson.dumps({**event, "created": "now"}),
            orjson.dumps({**event, "created": 2**40}),
            orjson.dumps({**event, "id": "evt\u0000"}),
            orjson.dumps({**event, "id": "e" * 300}),
            orjson.dumps({**event, "type": "t" * 101}),
            orjson.dumps({**event, "data": {"object": {**event["data"]["object"], "customer": "cus_\u00e4"}}}),
        )
    ]
    large = [await code_of(content, signed(content, NEW)) for content in (b" " * 2_000_000, b"x" * 5_000_000)]
    ignored = [await sent(portal, {**event, "livemode": True}), await sent(portal, {**event, "account": "acct_other"})]

    assert {status for status, _ in refused} == {400}
    assert [status for status, _ in malformed] == [400] * len(malformed)
    assert [status for status, _ in large] == [413, 413]
    assert ignored == [(200, {"ignored": True})] * 2
    assert await count(portal, billing_facts) == await count(portal, stripe_customers) == 0
    assert await count(portal, activation_codes, activation_codes.c.label == "Team") == 0


async def test_both_secrets_hold_while_they_are_changed(portal: LiveServer) -> None:
    first, second, *_ = purchase("changed", 1)

    assert [await sent(portal, first, OLD), await sent(portal, second, NEW)] == [(200, {"ok": True})] * 2
    assert await count(portal, billing_facts) == 2


async def test_without_a_secret_there_is_no_such_address(database: str, tmp_path: Path) -> None:
    # With a key of Stripe's nothing is simulated.
    changes = {"stripe_secret_key": SecretStr("sk_test_1")}
    async with live_server(settings_for(database, tmp_path).model_copy(update=changes)) as portal:
        status, _ = await sent(portal, purchase("hidden", 1)[0])

    assert status == 404


async def test_an_event_is_one_insert_and_is_stored_once(portal: LiveServer) -> None:
    first, second, *_ = purchase("once", 1)
    await sent(portal, first)
    with counted_statements(portal.runtime.db) as statements:
        assert await sent(portal, second) == (200, {"ok": True})
        assert len([each for each in statements if "INSERT INTO billing_facts" in each]) == 1
        assert {each.split("(")[0].strip() for each in statements} <= {
            "INSERT INTO billing_facts",
            "WITH batch_rows AS",
        } | {each.split("(")[0].strip() for each in statements if "errand_calls" in each}

    assert [await sent(portal, each) for each in (first, second, second)] == [(200, {"ok": True})] * 3
    assert await count(portal, billing_facts) == 2


async def test_what_nobody_needs_is_stored_and_handled_at_once(portal: LiveServer) -> None:
    known = purchase("unknown", 1)[0]
    unknown = {**known, "id": "evt_1", "type": "tax.settings.updated", "data": {"object": {"object": "tax.settings"}}}
    upcoming = {
        **known,
        "id": "evt_2",
        "type": "invoice.upcoming",
        "data": {"object": {"object": "invoice", "customer": "cus_1"}},
    }

    assert [await sent(portal, each) for each in (unknown, upcoming)] == [(200, {"ok": True})] * 2
    assert await count(portal, billing_facts, billing_facts.c.handled_at.is_not(None)) == 2
    assert await customers_waiting(portal.ctx) == []


async def test_two_hundred_deliveries_of_a_completion_make_the_codes_once(
    portal: LiveServer, database: str, tmp_path: Path
) -> None:
    tenant_id = await with_tenant(portal.ctx, "storm")
    *before, completed = purchase("storm", tenant_id)
    await stored(portal.ctx, before)
    changes = {"stripe_webhook_secret": SecretStr(NEW)}

    async with live_server(settings_for(database, tmp_path).model_copy(update=changes)) as other:
        answers = await asyncio.gather(*(sent((portal, other)[number % 2], completed) for number in range(200)))
        async with portal.ctx.read() as conn:
            (customer,) = await conn.many(select(stripe_customers.c.id), int)
        await asyncio.gather(*(fold_waiting(live.ctx, customer) for live in (portal, other) for _ in range(5)))

    assert answers == [(200, {"ok": True})] * 200
    assert await count(portal, activation_codes, activation_codes.c.label == "Team") == 7
    async with portal.ctx.read() as conn:
        ((state, quantity, has_codes),) = await conn.rows(
            select(checkouts.c.state, checkouts.c.quantity, checkouts.c.sealed_codes.is_not(None))
        )
        actors = await conn.many(
            select(platform_events.c.actor_name).where(platform_events.c.title.like("7 activation codes%")), str
        )
    assert (state, quantity, bool(has_codes)) == ("paid", 7, True)
    assert actors == ["stripe"]


async def test_a_refund_takes_back_what_nobody_has_used_and_names_the_rest(portal: LiveServer) -> None:
    tenant_id = await with_tenant(portal.ctx, "used")
    story = Story("used", tenant_id)
    intent = story.buy_codes(4)
    (customer,) = await stored(portal.ctx, story.events)
    await fold_waiting(portal.ctx, customer)
    team = (activation_codes.c.tenant_id == tenant_id, activation_codes.c.label == "Team")
    async with portal.ctx.write() as conn:
        first = select(func.min(activation_codes.c.id)).where(*team).scalar_subquery()
        used = activation_codes.update().where(activation_codes.c.id == first)
        await conn.affected(used.values(use_count=1))
    story.wait(60)
    story.refund(intent, 1000)
    await stored(portal.ctx, story.events)
    await fold_waiting(portal.ctx, customer)
    halfway = await count(portal, activation_codes, *team, activation_codes.c.revoked_at.is_not(None))
    story.wait(60)
    story.refund(intent, 1000)
    await stored(portal.ctx, story.events)
    await fold_waiting(portal.ctx, customer)

    async with portal.ctx.read() as conn:
        ((state, taken, kept),) = await conn.rows(
            select(checkouts.c.state, checkouts.c.codes_taken_back, checkouts.c.codes_kept)
        )
        told = await conn.many(
            select(platform_events.c.metadata).where(platform_events.c.event_type == "purchase_refunded"), str
        )
    assert halfway == 2
    assert (state, taken, kept) == ("refunded", 3, 1)
    assert [len(orjson.loads(each)["used"]) for each in told] == [1, 1]


async def test_replay_handles_again_and_nothing_follows_twice(portal: LiveServer) -> None:
    admin = Admin(portal, await as_operator(portal))
    tenant_id = await with_tenant(portal.ctx, "refunds")
    await with_plans(portal.ctx)
    (customer,) = await stored(portal.ctx, history(refunds, "refunds", tenant_id))
    await fold_waiting(portal.ctx, customer)
    before = await count(portal, activation_codes)

    answer = await portal.http.post("/admin/api/stripe/replay", json={"tenant": "refunds"}, headers=admin.headers)
    waiting = await count(portal, billing_facts, billing_facts.c.handled_at.is_(None))
    await fold_waiting(portal.ctx, customer)
    refused = [
        await portal.http.post("/admin/api/stripe/replay", json=body, headers=admin.headers)
        for body in ({}, {"tenant": "refunds", "failed": True}, {"event": "evt_nobody"}, {"tenant": "nobody"})
    ]

    assert (answer.status_code, answer.json()) == (202, {"events": 40, "customers": 1})
    assert waiting == 40
    assert await count(portal, activation_codes) == before
    assert await count(portal, billing_facts, billing_facts.c.handled_at.is_(None)) == 0
    assert [each.status_code for each in refused] == [422, 422, 404, 404]


async def test_a_failure_is_kept_and_tried_again_later(portal: LiveServer) -> None:
    tenant_id = await with_tenant(portal.ctx, "failing")
    story = Story("failing", tenant_id)
    story.subscribe(PRO)
    (customer,) = await stored(portal.ctx, story.events)
    await fold_waiting(portal.ctx, customer)

    async with portal.ctx.read() as conn:
        failures = await conn.rows(
            select(billing_facts.c.attempts, billing_facts.c.failure, billing_facts.c.next_attempt_at).distinct()
        )
    ((attempts, failure, next_at),) = failures
    assert attempts == 1
    assert PRO in failure
    assert next_at > portal.ctx.now()
    assert await count(portal, subscriptions) == 0

    await with_plans(portal.ctx)
    await fold_waiting(portal.ctx, customer)
    async with portal.ctx.read() as conn:
        states = await conn.many(select(subscriptions.c.state), str)
    assert states == ["active"]
    assert await count(portal, billing_facts, billing_facts.c.failure.is_not(None)) == 0


async def test_events_of_a_customer_of_nobody_wait_until_it_is_known_whose_it_is(portal: LiveServer) -> None:
    from app.services.billing.subscriptions import link_subscription

    await with_plans(portal.ctx)
    story = Story("nobody", 4711)
    subscription = story.subscribe(PRO)
    (customer,) = await stored(portal.ctx, story.events)
    await fold_waiting(portal.ctx, customer)
    assert await count(portal, billing_facts, billing_facts.c.handled_at.is_(None)) == len(story.events)
    assert await customers_waiting(portal.ctx) == []

    await with_tenant(portal.ctx, "found")
    names = {"stripe_customer_id": story.customer_id, "stripe_subscription_id": subscription}
    await link_subscription(portal.ctx, tenant_slug="found", plan_name=PRO, state="unpaid", **names)
    await fold_waiting(portal.ctx, customer)

    async with portal.ctx.read() as conn:
        states = await conn.many(select(subscriptions.c.state), str)
    assert states == ["active"]
    assert await count(portal, billing_facts, billing_facts.c.handled_at.is_(None)) == 0
    assert FOLD == "fold_billing"
