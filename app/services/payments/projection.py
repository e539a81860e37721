"""Writing what follows from a customer's facts: only what differs, in the transaction that has locked the customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from app.context import Context
from app.database.connections import ReadConnection, WriteConnection, as_batch
from app.errors import PlanOfPriceNotFoundError
from app.events import Event, EventType, record
from app.services.billing.facts import Fact
from app.services.billing.fold import fold
from app.services.billing.state import BillingState, InvoiceState, PaymentMethodState, SubscriptionState
from app.services.directory.lookup import Tenant
from app.services.payments.paid_codes import follow_sessions
from sql.statements import billing
from sql.statements import folding as statements

log = structlog.get_logger(__name__)


class Folded(NamedTuple):
    """What follows from a customer's facts, for which tenant; ``handled`` are those of which it had followed before."""

    tenant_id: int
    stripe_customer_id: str
    state: BillingState
    handled: Sequence[Fact]


class StoredSubscription(NamedTuple):
    """A tenant's current subscription as it is stored."""

    plan_id: int
    state: str
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_ends_at: datetime | None
    grace_until: datetime | None
    cancel_at_period_end: bool
    stripe_customer_id: str | None
    stripe_subscription_id: str | None


async def project(conn: WriteConnection, ctx: Context, folded: Folded) -> None:
    """Write what differs, and record what has happened; nothing for a tenant that is being deleted.

    Raises PlanOfPriceNotFoundError.
    """
    tenant = await conn.maybe(statements.tenant_locked, Tenant, tenant_id=folded.tenant_id)
    if tenant is None:
        return
    state = folded.state
    if state.subscription is not None:
        await _write_subscription(conn, ctx, tenant, folded.stripe_customer_id, state.subscription)
    await _tell_of_others(conn, ctx, tenant, folded)
    await _write_invoices(conn, tenant, state.invoices)
    await _write_methods(conn, tenant, state.payment_methods)
    await follow_sessions(conn, ctx, tenant, state)


async def subscription_as_stored(conn: ReadConnection, tenant_id: int) -> StoredSubscription | None:
    """The tenant's current subscription; None without one."""
    return await conn.maybe(statements.subscription_as_stored, StoredSubscription, tenant_id=tenant_id)


async def _write_subscription(
    conn: WriteConnection, ctx: Context, tenant: Tenant, customer: str, state: SubscriptionState
) -> None:
    stored, now = await subscription_as_stored(conn, tenant.id), ctx.now()
    if (plan_id := await _plan_of(conn, tenant, state, stored)) is None:
        return
    values: dict[str, Any] = {
        "plan_id": plan_id,
        "state": state.state,
        "stripe_customer_id": customer,
        "stripe_subscription_id": state.stripe_subscription_id,
    }
    if state.is_described:
        values |= {
            "current_period_start": state.current_period_start,
            "current_period_end": state.current_period_end,
            "trial_ends_at": state.trial_ends_at,
            "grace_until": state.grace_until,
            "cancel_at_period_end": state.cancel_at_period_end,
        }
    if stored is None:
        row = {**values, "tenant_id": tenant.id, "created_at": now, "updated_at": now}
        await conn.one(billing.insert_subscription, int, of_tenant_id=tenant.id, **row)
    elif all(getattr(stored, name) == value for name, value in values.items()):
        return
    else:
        await conn.affected(billing.set_subscription, of_tenant_id=tenant.id, **values, updated_at=now)
    await conn.affected(statements.confirm_change, of_tenant_id=tenant.id, of_plan_id=plan_id, now=now)
    if stored is None or (stored.plan_id, stored.state) != (plan_id, state.state):
        await _tell(conn, ctx, tenant, values, is_new=stored is None)


async def _plan_of(
    conn: WriteConnection, tenant: Tenant, state: SubscriptionState, stored: StoredSubscription | None
) -> int | None:
    """The plan that is paid for; where no plan has its price, the one that the tenant is on.

    None where it is on none, and Stripe has not described the subscription yet.
    """
    plan_id = state.plan_id
    if plan_id is not None and await conn.maybe(statements.plan_name, str, plan_id=plan_id) is None:
        plan_id = None
    if plan_id is None and state.price_id is not None:
        plan_id = await conn.maybe(statements.plan_of_price, int, price_id=state.price_id)
    if plan_id is not None or not state.is_described:
        return plan_id or (stored and stored.plan_id)
    log.warning("billing_price_unknown", tenant=tenant.slug, price=state.price_id, plan=state.plan_id)
    if stored is None:
        raise PlanOfPriceNotFoundError(price=state.price_id, tenant=tenant.slug)
    return stored.plan_id


async def _tell(conn: WriteConnection, ctx: Context, tenant: Tenant, values: dict[str, Any], *, is_new: bool) -> None:
    plan = await conn.one(statements.plan_name, str, plan_id=values["plan_id"])
    kind = EventType.SUBSCRIPTION_CREATED if is_new else EventType.SUBSCRIPTION_UPDATED
    metadata = {"plan": plan} | {name: value for name, value in values.items() if name != "plan_id"}
    title = f"{tenant.name} is {values['state']} on {plan}"
    await record(conn, ctx, Event(kind, title, tenant_id=tenant.id, metadata=metadata))


async def _tell_of_others(conn: WriteConnection, ctx: Context, tenant: Tenant, folded: Folded) -> None:
    """Record once that a tenant pays for a second subscription, which grants nothing."""
    others = folded.state.other_subscriptions
    if not others:
        return
    # What followed from what had been handled before says which of them are known.
    grace = timedelta(days=ctx.runtime.settings.grace_days)
    known = fold(folded.handled, grace=grace, can_ask=False).other_subscriptions
    if new := [each for each in others if each not in known]:
        title = f"{tenant.name} pays for {len(others) + 1} subscriptions"
        counted = folded.state.subscription
        metadata = {"counts": counted and counted.stripe_subscription_id, "others": new}
        await record(conn, ctx, Event(EventType.SUBSCRIPTION_DOUBLED, title, tenant_id=tenant.id, metadata=metadata))


async def _write_invoices(conn: WriteConnection, tenant: Tenant, states: Sequence[InvoiceState]) -> None:
    """Store those that differ; an invoice that is told of no more stays."""
    if not states:
        return
    known = set(await conn.many(statements.stored_invoices, InvoiceState, tenant_id=tenant.id))
    if different := [asdict(each) for each in states if each not in known]:
        await conn.affected(statements.store_invoices, of_tenant_id=tenant.id, batch=as_batch(different))


async def _write_methods(conn: WriteConnection, tenant: Tenant, states: Sequence[PaymentMethodState]) -> None:
    """Store those that differ, and remove those that are the customer's no more."""
    known = set(await conn.many(statements.stored_payment_methods, PaymentMethodState, tenant_id=tenant.id))
    if different := [asdict(each) for each in states if each not in known]:
        await conn.affected(statements.store_payment_methods, of_tenant_id=tenant.id, batch=as_batch(different))
    kept = {each.stripe_payment_method_id for each in states}
    if not kept.issuperset(each.stripe_payment_method_id for each in known):
        batch = as_batch([{"stripe_payment_method_id": each} for each in sorted(kept)])
        await conn.affected(statements.delete_payment_methods, of_tenant_id=tenant.id, batch=batch)
