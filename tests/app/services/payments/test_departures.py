"""A tenant that is deleted is not charged any more."""

from __future__ import annotations

from sqlalchemy import select
from support.billing import at_stripe, pay, payer, plan_of
from support.live import LiveServer
from support.rows import rows

from app.services.payments.departures import departures_waiting, leave_stripe
from app.services.tenants.deletion import delete_tenant
from sql.tables import tenant_deletions


async def test_a_deleted_tenant_leaves_stripe(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    leaving, staying = [await payer(live) for _ in range(2)]
    for tenant in (leaving, staying):
        opened = await tenant.upgrade(await plan_of(live, tenant.tenant.plan))
        await pay(live, opened["sessionId"])
        await tenant.ask("POST", "/purchase-codes", json={"quantity": 1})
    await delete_tenant(live.ctx, leaving.tenant.slug)
    ((deletion_id,),) = await rows(live, select(tenant_deletions.c.id))

    first, again = [await leave_stripe(live.ctx, deletion_id) for _ in range(2)]

    assert first == {"state": "done", "subscriptions_ended": 1, "sessions_closed": 1}
    assert again == {"state": "done before"}
    assert await departures_waiting(live.ctx) == []
    slugs = {found["id"]: found["metadata"]["tenant_slug"] for found in await at_stripe(live, "customer")}
    states = {slugs[found["customer"]]: found["status"] for found in await at_stripe(live, "subscription")}
    assert states == {leaving.tenant.slug: "canceled", staying.tenant.slug: "active"}
    left = [
        slugs[found["customer"]] for found in await at_stripe(live, "checkout.session") if found["status"] == "open"
    ]
    assert left == [staying.tenant.slug]


async def test_a_tenant_that_stripe_does_not_know_has_nothing_to_leave(live_at_stripe: LiveServer) -> None:
    tenant = await payer(live_at_stripe, "active")

    await delete_tenant(live_at_stripe.ctx, tenant.tenant.slug)

    ((customer_id,),) = await rows(live_at_stripe, select(tenant_deletions.c.stripe_customer_id))
    assert customer_id is None
