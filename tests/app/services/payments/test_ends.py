"""Graces and trials: tenants are told once, what is over ends by itself, and Stripe may correct it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from support.builders import Licensed, licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import change, rows, told
from support.sign_in import deliver_all, mailed

from app.services.billing.subscriptions import link_subscription
from app.services.payments.ends import end_graces_and_trials
from sql.tables import billing_facts, subscriptions, tenants


async def standing(live: LiveServer, clock: MovableClock, days: float, **values: Any) -> Licensed:
    """A tenant with an address, whose grace or trial ends in so many days."""
    tenant = await licensed(live)
    await change(
        live, update(tenants).where(tenants.c.id == tenant.tenant_id).values(email=f"{tenant.slug}@example.com")
    )
    ends_at = (clock.now() + timedelta(days=days)).replace(microsecond=0)
    values = {name: ends_at if value is ... else value for name, value in values.items()}
    of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
    await change(live, update(subscriptions).where(of_tenant).values(**values))
    return tenant


async def state_of(live: LiveServer, tenant: Licensed) -> str:
    of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
    ((state,),) = await rows(live, select(subscriptions.c.state).where(of_tenant))
    return str(state)


async def test_a_tenant_is_told_once_of_each_grace_and_trial(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    grace = await standing(live, clock, 7, state="past_due", grace_until=...)
    soon = await standing(live, clock, 2, state="trialing", trial_ends_at=...)
    later = await standing(live, clock, 10, state="trialing", trial_ends_at=...)

    first = await end_graces_and_trials(live.ctx)
    again = await end_graces_and_trials(live.ctx)

    assert first == {"graces": 1, "trials": 1, "ended": 0, "checkouts": 0}
    assert set(again.values()) == {0}
    assert await deliver_all(live) == ["sent", "sent"]
    mails = {mail.to: mail for mail in await mailed(live)}
    assert mails.keys() == {f"{grace.slug}@example.com", f"{soon.slug}@example.com"}
    ends_on = clock.now() + timedelta(days=7)
    until = f"{ends_on.day} {ends_on:%B %Y}"
    failed = mails[f"{grace.slug}@example.com"]
    assert failed.subject == "Your last payment has failed"
    assert until in failed.text
    assert f"{live.runtime.settings.allowed_origins[0]}/billing" in failed.text
    assert [event.event_type for event in await told(live, grace.tenant_id)][-1] == "grace_begun"
    assert [event.event_type for event in await told(live, soon.tenant_id)][-1] == "trial_ending"
    clock.move(days=8)
    assert (await end_graces_and_trials(live.ctx))["trials"] == 1
    assert [event.event_type for event in await told(live, later.tenant_id)][-1] == "trial_ending"


async def test_what_stripe_knows_nothing_of_ends_by_itself(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    held = [
        await standing(live, clock, 1, state="past_due", grace_until=...),
        await standing(live, clock, 1, state="trialing", trial_ends_at=...),
        await standing(live, clock, 3, state="trialing", trial_ends_at=...),
        await standing(live, clock, 1, state="active", grace_until=..., trial_ends_at=...),
        await standing(live, clock, 1, state="suspended", grace_until=...),
    ]
    await end_graces_and_trials(live.ctx)
    await deliver_all(live)
    clock.move(days=2)

    ended = [(await end_graces_and_trials(live.ctx))["ended"] for _ in range(2)]

    assert ended == [2, 0]
    states = [await state_of(live, tenant) for tenant in held]
    assert states == ["unpaid", "unpaid", "trialing", "active", "suspended"]
    kinds = [[event.event_type for event in await told(live, tenant.tenant_id)][-1] for tenant in held[:2]]
    assert kinds == ["grace_ended", "trial_ended"]
    assert await deliver_all(live) == ["sent"]
    assert (await mailed(live))[0].subject == "Runs and activations have stopped"


async def test_the_end_of_what_stripe_knows_is_a_fact(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    tenant = await standing(live, clock, 1, state="past_due", grace_until=...)
    of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
    ((ends_at,),) = await rows(live, select(subscriptions.c.grace_until).where(of_tenant))
    who = {"stripe_customer_id": "cus_1", "stripe_subscription_id": "sub_1"}
    await link_subscription(live.ctx, tenant_slug=tenant.slug, plan_name=tenant.plan, state="past_due", **who)
    clock.move(days=2)

    ended = [(await end_graces_and_trials(live.ctx))["ended"] for _ in range(3)]

    assert ended == [1, 0, 0]
    facts = await rows(live, select(billing_facts).order_by(billing_facts.c.id))
    assert [(fact.source, fact.type, fact.object_id) for fact in facts] == [
        ("operator", "subscription.changed", None),
        ("portal", "grace.ended", "sub_1"),
    ]
    assert facts[1].happened_at == ends_at
    assert Counter(event.event_type for event in await told(live, tenant.tenant_id))["grace_ended"] == 1


async def test_a_mail_that_is_overtaken_is_not_sent(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    tenant = await standing(live, clock, 7, state="past_due", grace_until=...)
    await end_graces_and_trials(live.ctx)
    await link_subscription(live.ctx, tenant_slug=tenant.slug, plan_name=tenant.plan, state="active")

    assert await deliver_all(live) == ["needless"]
    assert await mailed(live) == []
    assert "delivery_failed" not in {event.event_type for event in await told(live, tenant.tenant_id)}


async def test_the_next_grace_is_told_of_again(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    tenant = await standing(live, clock, 7, state="past_due", grace_until=...)
    await end_graces_and_trials(live.ctx)
    later: datetime = clock.now() + timedelta(days=40)
    of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
    await change(live, update(subscriptions).where(of_tenant).values(grace_until=later))

    assert (await end_graces_and_trials(live.ctx))["graces"] == 1
