"""The errand: what Stripe is asked, what is kept while it does not answer, what is removed, and what rehearsals say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.stripe_histories import history, refunds, trial_to_cancel
from support.stripe_places import stored, with_plans, with_tenant
from support.stripe_story import PRO, Story

from app.errors import HistoryNotFoundError, PaymentsUnavailableError
from app.services.payments.folding import TRIED_FOR, customers_waiting, fold_waiting
from app.services.payments.outcome import outcome_of
from app.services.payments.rehearsal import rehearse
from app.services.payments.upkeep import KEEP_FACTS, remove_old_facts
from app.services.tenants.deletion import delete_tenant, remove_tenant
from sql.tables import (
    billing_facts,
    checkouts,
    invoices,
    payment_methods,
    stripe_customers,
    subscriptions,
    tenant_deletions,
)


class Stripe:
    """Stripe as far as it is asked here: it knows how an object stands, or does not answer."""

    def __init__(self, found: Mapping[str, Any] | None) -> None:
        self.found, self.asked, self.is_away = found, 0, False

    async def fetch(self, kind: str, object_id: str) -> Mapping[str, Any] | None:
        self.asked += 1
        if self.is_away:
            raise PaymentsUnavailableError
        return self.found

    async def close(self) -> None:
        """There is nothing to close."""


async def plan_states(live: LiveServer) -> list[str]:
    async with live.ctx.read() as conn:
        return await conn.many(select(subscriptions.c.state), str)


async def count(live: LiveServer, table: Any, *conditions: Any) -> int:
    async with live.ctx.read() as conn:
        return await conn.one(select(func.count()).select_from(table).where(*conditions), int)


async def undecided(live: LiveServer) -> tuple[Story, str, int]:
    """A customer with two events of one second, of which nobody knows which was the last."""
    await with_plans(live.ctx)
    story = Story("undecided", await with_tenant(live.ctx, "undecided"))
    subscription = story.subscribe(PRO)
    story.wait(60)
    found = story.objects[subscription]
    for status in ("past_due", "active"):
        found["status"] = status
        story.tell("customer.subscription.updated", found)
    (customer,) = await stored(live.ctx, story.events)
    return story, subscription, customer


async def test_stripe_is_asked_once_for_what_only_it_can_tell(sanic_client: LiveServer) -> None:
    story, subscription, customer = await undecided(sanic_client)
    stripe = Stripe(story.objects[subscription])
    sanic_client.runtime.payments = stripe  # type: ignore[assignment]

    await fold_waiting(sanic_client.ctx, customer)
    story.tell("customer.updated", story.objects[story.customer_id], {})
    await stored(sanic_client.ctx, story.events)
    await fold_waiting(sanic_client.ctx, customer)

    assert await plan_states(sanic_client) == ["active"]
    assert stripe.asked == 1
    assert await count(sanic_client, billing_facts, billing_facts.c.source == "gateway") == 1
    assert await count(sanic_client, billing_facts, billing_facts.c.handled_at.is_(None)) == 0


async def test_facts_wait_while_stripe_does_not_answer_and_are_given_up_after_three_days(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    story, subscription, customer = await undecided(sanic_client)
    stripe = Stripe(story.objects[subscription])
    stripe.is_away = True
    sanic_client.runtime.payments = stripe  # type: ignore[assignment]

    pauses = []
    for _ in range(4):
        await fold_waiting(sanic_client.ctx, customer)
        async with sanic_client.ctx.read() as conn:
            ((next_at,),) = await conn.rows(select(billing_facts.c.next_attempt_at).distinct())
        pauses.append((next_at - sanic_client.ctx.now()).total_seconds())
    assert await plan_states(sanic_client) == []
    assert [round(pause, -1) for pause in pauses] == [10, 20, 40, 80]
    assert await customers_waiting(sanic_client.ctx) == []
    clock.move(seconds=120)
    assert await customers_waiting(sanic_client.ctx) == [customer]

    clock.move(days=TRIED_FOR.days + 1)
    await fold_waiting(sanic_client.ctx, customer)
    clock.move(days=30)
    assert await customers_waiting(sanic_client.ctx) == []

    # Whoever tells something new of the customer begins it again.
    stripe.is_away = False
    await fold_waiting(sanic_client.ctx, customer)
    assert await plan_states(sanic_client) == ["active"]


async def test_where_stripe_knows_nothing_of_it_the_least_is_granted(sanic_client: LiveServer) -> None:
    _, _, customer = await undecided(sanic_client)
    stripe = Stripe(None)
    sanic_client.runtime.payments = stripe  # type: ignore[assignment]

    await fold_waiting(sanic_client.ctx, customer)
    await fold_waiting(sanic_client.ctx, customer)

    assert await plan_states(sanic_client) == ["past_due"]
    assert stripe.asked == 1


async def test_after_ninety_days_only_what_is_current_is_kept(sanic_client: LiveServer, clock: MovableClock) -> None:
    await with_plans(sanic_client.ctx)
    tenant_id = await with_tenant(sanic_client.ctx, "old")
    (customer,) = await stored(sanic_client.ctx, history(trial_to_cancel, "old", tenant_id))
    await fold_waiting(sanic_client.ctx, customer)
    before = await outcome_of(sanic_client.ctx, tenant_id)
    facts = await count(sanic_client, billing_facts)

    assert (await remove_old_facts(sanic_client.ctx))["facts"] == 0
    clock.move(days=KEEP_FACTS.days + 1)
    removed = (await remove_old_facts(sanic_client.ctx))["facts"]
    left = await count(sanic_client, billing_facts)
    async with sanic_client.ctx.write() as conn:
        await conn.affected(update(billing_facts).values(handled_at=None))
        await conn.affected(delete(payment_methods))
    await fold_waiting(sanic_client.ctx, customer)

    assert removed == facts - left > 0
    assert await outcome_of(sanic_client.ctx, tenant_id) == before


async def test_codes_that_nobody_has_looked_at_go_after_thirty_days(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    story = Story("unseen", await with_tenant(sanic_client.ctx, "unseen"))
    story.now = int(sanic_client.ctx.now().timestamp())
    story.buy_codes(2)
    (customer,) = await stored(sanic_client.ctx, story.events)
    await fold_waiting(sanic_client.ctx, customer)

    kept = [(await remove_old_facts(sanic_client.ctx))["purchases"]]
    clock.move(days=31)
    kept.append((await remove_old_facts(sanic_client.ctx))["purchases"])

    assert kept == [0, 1]


async def test_a_tenant_goes_with_all_that_stripe_has_told_of_it(sanic_client: LiveServer) -> None:
    await with_plans(sanic_client.ctx)
    tenant_id = await with_tenant(sanic_client.ctx, "gone")
    other_id = await with_tenant(sanic_client.ctx, "staying")
    (customer,) = await stored(sanic_client.ctx, history(refunds, "gone", tenant_id))
    (other,) = await stored(sanic_client.ctx, history(refunds, "staying", other_id))
    await fold_waiting(sanic_client.ctx, customer)
    await fold_waiting(sanic_client.ctx, other)
    tables = (billing_facts, checkouts, invoices, payment_methods, stripe_customers)
    before = [await count(sanic_client, table) for table in tables]

    await delete_tenant(sanic_client.ctx, "gone")
    late = Story("gone", tenant_id)
    late.card()
    await stored(sanic_client.ctx, late.events[2:])
    await fold_waiting(sanic_client.ctx, customer)
    async with sanic_client.ctx.read() as conn:
        (deletion,) = await conn.many(select(tenant_deletions.c.id), int)
    await remove_tenant(sanic_client.ctx, deletion)

    assert all(before)
    assert [2 * await count(sanic_client, table) for table in tables] == before
    assert await count(sanic_client, stripe_customers, stripe_customers.c.tenant_id == tenant_id) == 0


async def test_a_rehearsal_ends_as_the_straight_order_and_says_where_not(database: str, tmp_path: Path) -> None:
    # A command rehearses, whose event loop nobody else waits for.
    async with live_server(settings_for(database, tmp_path)) as portal:
        await rehearsed(portal)


async def rehearsed(portal: LiveServer) -> None:
    await with_plans(portal.ctx)
    tenant_id = await with_tenant(portal.ctx, "rehearsed")
    with pytest.raises(HistoryNotFoundError):
        await rehearse(portal.ctx, "rehearsed", rounds=1, seed="a")
    events = history(refunds, "rehearsed", tenant_id)[:12]
    (customer,) = await stored(portal.ctx, events)
    await fold_waiting(portal.ctx, customer)
    before = await outcome_of(portal.ctx, tenant_id)

    result = await rehearse(portal.ctx, "rehearsed", rounds=2, seed="a")
    async with portal.ctx.write() as conn:
        await conn.affected(update(stripe_customers).values(state_hash=b"0" * 32))
    drifted = await rehearse(portal.ctx, "rehearsed", rounds=1, seed="a")

    assert result.is_good
    assert (result.facts, result.rounds, result.different) == (12, 2, [])
    assert result.crashes
    assert not drifted.is_good
    assert await outcome_of(portal.ctx, tenant_id) == before


async def test_what_waits_is_measured(sanic_client: LiveServer) -> None:
    story, *_ = await undecided(sanic_client)
    strangers = Story("stranger", 4711)
    (nobodys,) = await stored(sanic_client.ctx, strangers.events)
    await fold_waiting(sanic_client.ctx, nobodys)
    await stored(sanic_client.ctx, [{**story.events[0], "id": "evt_more"}])

    await customers_waiting(sanic_client.ctx)
    shown = (await sanic_client.http.get("/metrics")).text

    figures = dict(line.rsplit(" ", 1) for line in shown.splitlines() if line.startswith("portal_billing_"))
    assert float(figures["portal_billing_waiting"]) == 1
    assert float(figures["portal_billing_failing"]) == 0
    assert 0 <= float(figures["portal_billing_oldest_seconds"]) < 60
    assert float(figures['portal_billing_facts_total{outcome="handled"}']) >= len(story.events)
