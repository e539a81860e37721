"""Comparing with Stripe: what was never told is found, named and repaired, and what is nobody's is named."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete, select, update
from support.billing import Payer, at_stripe, days_pass, month_passes, pay, payer, plan_of, settle, simulator_of
from support.builders import licensed
from support.live import LiveServer
from support.rows import change, rows, told

from app.providers.stripe_simulator.deliveries import Deliveries
from app.services.billing.subscriptions import link_subscription
from app.services.payments.reconciliation import reconcile, reconcile_nightly
from sql.tables import activation_codes, billing_facts, checkouts, invoices, payment_methods, subscriptions


@contextlib.asynccontextmanager
async def nothing_is_told(live: LiveServer) -> AsyncIterator[None]:
    """What happens at Stripe meanwhile is told to somebody else."""

    async def lost(deliveries: Deliveries, body: bytes) -> int:
        return 200

    with patch.object(Deliveries, "_post", lost):
        yield
        await simulator_of(live).deliveries.send_waiting()


async def subscribed(live: LiveServer) -> Payer:
    """A tenant that pays for its plan."""
    tenant = await payer(live)
    await pay(live, (await tenant.upgrade(await plan_of(live, tenant.tenant.plan)))["sessionId"])
    return tenant


async def tables(live: LiveServer) -> list[Any]:
    """What the tenants' tables hold."""
    held: list[Any] = []
    for table in (subscriptions, invoices, payment_methods, checkouts, activation_codes, billing_facts):
        held += [tuple(row) for row in await rows(live, select(table).order_by(table.c.id))]
    return held


async def found(live: LiveServer, *, is_dry_run: bool = False) -> set[tuple[str, str, bool]]:
    """Of what kind each difference is, what it is, and whether it was repaired."""
    reconciled = await reconcile(live.ctx, is_dry_run=is_dry_run)
    assert reconciled.failures == []
    return {(each.kind, each.what, each.is_repaired) for each in reconciled.differences}


async def test_what_was_never_told_is_repaired(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await subscribed(live)
    bought = await tenant.ask("POST", "/purchase-codes", json={"quantity": 3})
    assert await found(live) == set()
    async with nothing_is_told(live):
        (subscription,) = await at_stripe(live, "subscription")
        with patch("support.billing.settle"):
            await pay(live, bought["sessionId"])
        gateway = live.runtime.payments
        assert gateway is not None
        await gateway.set_cancel_at_period_end(subscription_id=subscription["id"], cancel=True, key="elsewhere")
    before = await tables(live)
    differs = {
        ("subscription", "cancel_at_period_end"),
        ("checkout.session", "state"),
        ("payment_method", "is not stored"),
    }

    named = await found(live, is_dry_run=True)

    assert {(kind, what) for kind, what, _ in named} == differs
    assert await tables(live) == before
    assert await found(live) == {(kind, what, True) for kind, what in differs}
    assert (await tenant.ask("GET"))["subscription"]["autoRenewal"] is False
    assert len((await tenant.ask("GET", f"/purchases/{bought['purchaseId']}/codes"))["codes"]) == 3
    assert await found(live) == set()
    assert [event.event_type for event in await told(live, tenant.tenant.tenant_id)].count("billing_repaired") == 1


async def test_a_month_that_was_never_told_is_repaired(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await subscribed(live)
    async with nothing_is_told(live):
        await month_passes(live)

    assert {(kind, is_repaired) for kind, _, is_repaired in await found(live)} == {
        ("subscription", True),
        ("invoice", True),
    }

    billing = await tenant.ask("GET")
    assert [each["status"] for each in billing["billingHistory"]] == ["paid", "paid"]
    assert (await reconcile_nightly(live.ctx)) == {"customers": 1, "differences": 0, "repaired": 0, "failures": 0}


async def test_what_somebody_has_changed_by_hand_is_put_back(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, other = await subscribed(live), await licensed(live, state=None)
    of_tenant = subscriptions.c.tenant_id == tenant.tenant.tenant_id
    other_id = await plan_of(live, other.plan)
    await change(live, update(subscriptions).where(of_tenant).values(plan_id=other_id, state="unpaid"))
    await change(live, delete(invoices))

    assert await found(live) == {
        ("subscription", "plan", True),
        ("subscription", "state", True),
        ("invoice", "is not stored", True),
    }

    assert (await tenant.ask("GET"))["subscription"]["status"] == "active"
    assert await found(live) == set()


async def test_what_an_operator_has_said_stands_and_is_named(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, other = await subscribed(live), await licensed(live, state=None)
    await days_pass(live, 1)
    await link_subscription(live.ctx, tenant_slug=tenant.tenant.slug, plan_name=other.plan, state="active")
    await settle(live)

    ((kind, what, is_repaired),) = await found(live)

    assert (kind, is_repaired) == ("subscription", False)
    assert what.startswith("an operator has said another plan")
    assert (await tenant.ask("GET"))["subscription"]["planName"] == other.plan


async def test_orphans_are_named(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    gateway = live.runtime.payments
    assert gateway is not None
    known, linked = await payer(live), await payer(live)
    await gateway.create_customer(tenant_id=10**6, slug="nobody", name="Nobody", email=None, key="a")
    customer = {"slug": known.tenant.slug, "name": "Known", "email": None, "key": "b"}
    await gateway.create_customer(tenant_id=known.tenant.tenant_id, **customer)
    link = {"tenant_slug": linked.tenant.slug, "plan_name": linked.tenant.plan, "stripe_customer_id": "cus_gone"}
    await link_subscription(live.ctx, **link)

    first, second = await found(live), await found(live)

    orphan = ("customer", "no tenant has this customer; delete it at Stripe, or link a tenant to it", False)
    gone = ("customer", "the customer is gone at Stripe; link the tenant to another one", False)
    assert first == {orphan, gone, ("customer", "is not known here", True)}
    assert second == {orphan, gone}
