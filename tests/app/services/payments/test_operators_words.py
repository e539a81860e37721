"""What operators change of a tenant that pays through Stripe: no later fold undoes it, but a change at Stripe does."""

from __future__ import annotations

import asyncio

from sqlalchemy import select, update
from support.billing import Payer, card, days_pass, month_passes, pay, payer, plan_of, settle, simulator_of
from support.builders import licensed
from support.live import LiveServer
from support.rows import rows

from app.providers.stripe_simulator.checkout import pay_session
from app.providers.stripe_simulator.portal_sessions import confirm_change
from app.services.billing.subscriptions import link_subscription
from app.services.payments.folding import fold_customer
from app.services.tenants.changes import update_tenant
from sql.tables import billing_facts, stripe_customers


async def subscribed(live: LiveServer) -> tuple[Payer, str]:
    """A tenant that has paid for its plan a day ago, and another plan."""
    tenant = await payer(live)
    await pay(live, (await tenant.upgrade(await plan_of(live, tenant.tenant.plan)))["sessionId"])
    await days_pass(live, 1)
    return tenant, (await licensed(live, state=None)).plan


async def shown(tenant: Payer) -> tuple[str, str]:
    subscription = (await tenant.ask("GET"))["subscription"]
    return subscription["status"], subscription["planName"]


async def everything_again(live: LiveServer) -> None:
    """Handle all facts once more, as after a late event."""
    await wait_again(live)
    await settle(live)


async def wait_again(live: LiveServer) -> None:
    is_somebodys = billing_facts.c.customer_id.is_not(None)
    async with live.ctx.write() as conn:
        # As a fold does. The update alone takes the facts in no order, so two of them could wait for each other.
        await conn.rows(select(stripe_customers.c.id).order_by(stripe_customers.c.id).with_for_update())
        await conn.affected(update(billing_facts).where(is_somebodys).values(handled_at=None))


async def test_a_plan_that_an_operator_gives_stays(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, other = await subscribed(live)

    await update_tenant(live.ctx, tenant.tenant.slug, {}, other)

    for fold in (settle, everything_again):
        await fold(live)
        assert await shown(tenant) == ("active", other)
    await month_passes(live)
    assert await shown(tenant) == ("active", other)
    # Until the tenant itself changes what it pays for.
    await days_pass(live, 1)
    third = (await licensed(live, state=None)).plan
    changed = await tenant.upgrade(await plan_of(live, third))
    await simulator_of(live).run(lambda books: confirm_change(books, changed["sessionId"]))
    await settle(live)
    assert await shown(tenant) == ("active", third)


async def test_a_suspension_stands_until_it_is_lifted(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, _ = await subscribed(live)
    link = {"tenant_slug": tenant.tenant.slug, "plan_name": tenant.tenant.plan}

    await link_subscription(live.ctx, **link, state="suspended")

    await month_passes(live)
    assert (await shown(tenant))[0] == "suspended"
    await link_subscription(live.ctx, **link, state="active")
    await everything_again(live)
    assert (await shown(tenant))[0] == "active"


async def test_what_was_told_of_a_stranger_is_folded_once_it_is_linked(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, simulator = await payer(live), simulator_of(live)
    gateway = live.runtime.payments
    assert gateway is not None
    customer_id = await gateway.create_customer(tenant_id=10**6, slug="nobody", name="Nobody", email=None, key="made")
    session = await gateway.open_subscription(
        customer_id=customer_id,
        price_id=f"price_{tenant.tenant.plan.removeprefix('Plan ')}",
        metadata={},
        success_url="https://example.com",
        cancel_url="https://example.com",
        key="opened",
    )
    await simulator.run(lambda books: pay_session(books, session.id, card()))
    simulator.deliveries.address = f"{live.base_url}/billing/stripe/webhook"
    await simulator.deliveries.send_waiting()
    ((row_id, tenant_id),) = await rows(live, select(stripe_customers.c.id, stripe_customers.c.tenant_id))
    await fold_customer(live.ctx, row_id)
    assert (tenant_id, (await tenant.ask("GET"))["billingHistory"]) == (None, [])

    link = {"tenant_slug": tenant.tenant.slug, "plan_name": tenant.tenant.plan, "stripe_customer_id": customer_id}
    await link_subscription(live.ctx, **link)
    await settle(live)

    billing = await tenant.ask("GET")
    assert [each["status"] for each in billing["billingHistory"]] == ["paid"]
    assert (billing["subscription"]["status"], billing["subscription"]["autoRenewal"]) == ("active", True)


async def test_folds_and_operators_take_their_locks_in_one_order(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, other = await subscribed(live)
    ((customer_id,),) = await rows(live, select(stripe_customers.c.id))

    async def folded() -> None:
        await wait_again(live)
        await fold_customer(live.ctx, customer_id)

    async def said(plan: str) -> None:
        await update_tenant(live.ctx, tenant.tenant.slug, {}, plan)

    plans = (tenant.tenant.plan, other) * 5
    await asyncio.gather(*(work for plan in plans for work in (folded(), said(plan))))

    await everything_again(live)
    assert await rows(live, select(billing_facts.c.failure).where(billing_facts.c.failure.is_not(None))) == []
    assert (await shown(tenant))[0] == "active"
