"""Subscriptions: linking a tenant to a plan, and to Stripe."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.context import Context
from app.database.connections import WriteConnection
from app.database.failures import violated_constraint
from app.errors import SubscriptionConflictError, ValidationError
from app.events import Event, EventType, record
from app.services.billing.clock import billing_now
from app.services.billing.customers import Customer, link_customer, lock_customer
from app.services.billing.fact_log import FOLD, add_fact
from app.services.billing.facts import OPERATOR_CHANGE
from app.services.billing.plans import MAX_RUNS, Plan, find_plan
from app.services.directory.lookup import Tenant, find_tenant, lock_tenant
from sql.statements import billing
from sql.tables.billing import SUBSCRIPTION_STATES

MAX_REFERENCE = 255


@dataclass(frozen=True, slots=True)
class Subscription:
    """A tenant's current subscription and what it grants: the override where there is one, else the plan's figure."""

    id: int
    state: str
    seats_used: int
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    plan_name: str
    monthly_run_quota: int
    max_devices: int | None
    monthly_run_quota_override: int | None
    max_devices_override: int | None


async def link_subscription(
    ctx: Context,
    *,
    tenant_slug: str,
    plan_name: str,
    state: str = "active",
    stripe_customer_id: str | None = None,
    stripe_subscription_id: str | None = None,
    overrides: Mapping[str, int | None] | None = None,
) -> tuple[Subscription, str]:
    """Give the tenant its current subscription, or change it; beside it ``created``, ``updated`` or ``unchanged``.

    A Stripe id that is None or blank stays as it is, and so do ``overrides`` that are not named. Where the tenant has a
    customer at Stripe, the change is also a fact in its log, so that what Stripe has told before does not undo it.
    Raises ValidationError for an unknown state, an id that is too long or an override out of range,
    TenantNotFoundError, PlanNameNotFoundError, or SubscriptionConflictError when another tenant's subscription has the
    Stripe id.
    """
    if state not in SUBSCRIPTION_STATES:
        message = f"must be one of {', '.join(SUBSCRIPTION_STATES)}"
        raise ValidationError.of("state", message, kind="enum")
    for field, value in (overrides or {}).items():
        if value is not None and not 0 <= value <= MAX_RUNS:
            raise ValidationError.of(field, f"must be from 0 to {MAX_RUNS}", kind="out_of_range")
    stripe = {
        "stripe_customer_id": _reference("customer", stripe_customer_id),
        "stripe_subscription_id": _reference("sub", stripe_subscription_id),
    }
    try:
        async with ctx.write() as conn:
            customer = await _customer(conn, ctx, tenant_slug, stripe["stripe_customer_id"])
            tenant = await lock_tenant(conn, tenant_slug)
            plan = await find_plan(conn, plan_name)
            change = await _set(conn, ctx, tenant, plan, state, stripe)
            if customer is not None and change != "unchanged":
                said = {"plan_id": plan.id, "state": state, "stripe_subscription_id": stripe["stripe_subscription_id"]}
                await _tell(conn, ctx, tenant, customer, said)
            if overrides and await override(conn, ctx, tenant, overrides) and change == "unchanged":
                change = "updated"
            subscription = await conn.one(billing.current_subscription, Subscription, tenant_id=tenant.id)
    except IntegrityError as failure:
        kind = {
            "uq_subscriptions_stripe_customer_id": "customer",
            "uq_subscriptions_stripe_subscription_id": "subscription",
        }.get(violated_constraint(failure) or "")
        if kind is None:
            raise
        raise SubscriptionConflictError(kind=kind, reference=stripe[f"stripe_{kind}_id"]) from None
    if customer is not None:
        # What Stripe has told of the customer may have waited until it was known whose it is.
        ctx.runtime.enqueue(FOLD, customer.id)
    return subscription, change


async def _customer(
    conn: WriteConnection, ctx: Context, tenant_slug: str, stripe_customer_id: str | None
) -> Customer | None:
    """The tenant's customer at Stripe, locked: the one that is named, or else the one that it has."""
    customer = await lock_customer(conn, tenant_slug)
    if stripe_customer_id is None or (customer and customer.stripe_customer_id == stripe_customer_id):
        return customer
    return await link_customer(conn, ctx, (await find_tenant(conn, tenant_slug)).id, stripe_customer_id)


async def _tell(conn: WriteConnection, ctx: Context, tenant: Tenant, customer: Customer, said: dict[str, Any]) -> None:
    """Store what an operator has said of a subscription as a fact of the customer's log."""
    await add_fact(
        conn,
        ctx,
        customer.id,
        source="operator",
        type=OPERATOR_CHANGE,
        reference=f"operator:{uuid.uuid4().hex}",
        object_id=None,
        happened_at=await billing_now(ctx, conn),
        payload={"tenant_id": tenant.id, **{name: value for name, value in said.items() if value is not None}},
    )


def _reference(field: str, text: str | None) -> str | None:
    """An id at Stripe as it is stored, None for a blank one; raises ValidationError."""
    reference = (text or "").strip()
    if len(reference) > MAX_REFERENCE:
        raise ValidationError.of(field, f"must have at most {MAX_REFERENCE} characters", kind="string_too_long")
    return reference or None


async def put_on_plan(
    conn: WriteConnection, ctx: Context, tenant: Tenant, plan: Plan, customer: Customer | None = None
) -> None:
    """Put the tenant's current subscription on this plan, in whatever state it is, or give it an active one.

    The caller has locked the tenant's customer at Stripe, if it has one, and the tenant in this transaction, or has
    just created the tenant; with a customer it enqueues ``FOLD`` after the commit.
    """
    current = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    as_it_is: dict[str, str | None] = {"stripe_customer_id": None, "stripe_subscription_id": None}
    change = await _set(conn, ctx, tenant, plan, current.state if current else "active", as_it_is)
    if customer is not None and change != "unchanged":
        await _tell(conn, ctx, tenant, customer, {"plan_id": plan.id})


async def override(conn: WriteConnection, ctx: Context, tenant: Tenant, figures: Mapping[str, int | None]) -> bool:
    """Give the tenant's current subscription figures of its own, None for the plan's; False if nothing changes.

    The caller has locked the tenant. They stay when the plan changes, and end with the subscription. Raises
    ValidationError where there is no subscription.
    """
    current = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    if current is None:
        for field, value in figures.items():
            if value is not None:
                raise ValidationError.of(field, "needs a subscription: name a plan first", kind="no_subscription")
        return False
    new_values = {name: value for name, value in figures.items() if value != getattr(current, name)}
    if not new_values:
        return False
    await conn.affected(billing.set_subscription, of_tenant_id=tenant.id, **new_values, updated_at=ctx.now())
    differences = {name: {"from": getattr(current, name), "to": value} for name, value in new_values.items()}
    title = f"{tenant.name} has figures of its own on {current.plan_name}"
    metadata = {"plan": current.plan_name, "changes": differences}
    await record(conn, ctx, Event(EventType.SUBSCRIPTION_UPDATED, title, tenant_id=tenant.id, metadata=metadata))
    return True


async def _set(
    conn: WriteConnection, ctx: Context, tenant: Tenant, plan: Plan, state: str, stripe: dict[str, str | None]
) -> str:
    now = ctx.now()
    current = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    metadata: dict[str, Any] = {"plan": plan.name, "state": state, **stripe}
    if current is None:
        await conn.one(
            billing.insert_subscription,
            int,
            of_tenant_id=tenant.id,
            tenant_id=tenant.id,
            plan_id=plan.id,
            state=state,
            **stripe,
            created_at=now,
            updated_at=now,
        )
        change, event = "created", EventType.SUBSCRIPTION_CREATED
    else:
        references = {key: value or getattr(current, key) for key, value in stripe.items()}
        if (current.plan_name, current.state) == (plan.name, state) and all(
            getattr(current, key) == value for key, value in references.items()
        ):
            return "unchanged"
        await conn.affected(
            billing.set_subscription,
            of_tenant_id=tenant.id,
            plan_id=plan.id,
            state=state,
            **references,
            # What an operator says of the state has no end by itself.
            **({} if state == current.state else {"grace_until": None, "trial_ends_at": None}),
            updated_at=now,
        )
        change, event = "updated", EventType.SUBSCRIPTION_UPDATED
    title = f"{tenant.name} is {state} on {plan.name}"
    await record(conn, ctx, Event(event, title, tenant_id=tenant.id, metadata=metadata))
    return change
