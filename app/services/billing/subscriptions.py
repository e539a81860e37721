"""Subscriptions: linking a tenant to a plan, and to Stripe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.context import Context
from app.database.connections import WriteConnection
from app.database.failures import violated_constraint
from app.errors import SubscriptionConflictError, ValidationError
from app.events import Event, EventType, record
from app.services.billing.plans import Plan, find_plan
from app.services.directory.lookup import Tenant, lock_tenant
from sql.statements import billing
from sql.tables.billing import SUBSCRIPTION_STATES

MAX_REFERENCE = 255


@dataclass(frozen=True, slots=True)
class Subscription:
    """A tenant's current subscription and what its plan grants."""

    id: int
    state: str
    seats_used: int
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    plan_name: str
    monthly_run_quota: int
    max_devices: int | None


async def link_subscription(
    ctx: Context,
    *,
    tenant_slug: str,
    plan_name: str,
    state: str = "active",
    stripe_customer_id: str | None = None,
    stripe_subscription_id: str | None = None,
) -> tuple[Subscription, str]:
    """Give the tenant its current subscription, or change it; beside it ``created``, ``updated`` or ``unchanged``.

    A Stripe id that is None or blank stays as it is. Raises ValidationError for an unknown state or an id that is too
    long, TenantNotFoundError, PlanNameNotFoundError, or SubscriptionConflictError when another tenant's
    subscription has the Stripe id.
    """
    if state not in SUBSCRIPTION_STATES:
        message = f"must be one of {', '.join(SUBSCRIPTION_STATES)}"
        raise ValidationError.of("state", message, kind="enum")
    stripe = {
        "stripe_customer_id": _reference("customer", stripe_customer_id),
        "stripe_subscription_id": _reference("sub", stripe_subscription_id),
    }
    try:
        async with ctx.write() as conn:
            tenant = await lock_tenant(conn, tenant_slug)
            plan = await find_plan(conn, plan_name)
            change = await _set(conn, ctx, tenant, plan, state, stripe)
            return await conn.one(billing.current_subscription, Subscription, tenant_id=tenant.id), change
    except IntegrityError as failure:
        kind = {
            "uq_subscriptions_stripe_customer_id": "customer",
            "uq_subscriptions_stripe_subscription_id": "subscription",
        }.get(violated_constraint(failure) or "")
        if kind is None:
            raise
        raise SubscriptionConflictError(kind=kind, reference=stripe[f"stripe_{kind}_id"]) from None


def _reference(field: str, text: str | None) -> str | None:
    """An id at Stripe as it is stored, None for a blank one; raises ValidationError."""
    reference = (text or "").strip()
    if len(reference) > MAX_REFERENCE:
        raise ValidationError.of(field, f"must have at most {MAX_REFERENCE} characters", kind="string_too_long")
    return reference or None


async def put_on_plan(conn: WriteConnection, ctx: Context, tenant: Tenant, plan: Plan) -> None:
    """Put the tenant's current subscription on this plan, in whatever state it is, or give it an active one.

    The caller has locked the tenant in this transaction, or has just created it.
    """
    current = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    as_it_is: dict[str, str | None] = {"stripe_customer_id": None, "stripe_subscription_id": None}
    await _set(conn, ctx, tenant, plan, current.state if current else "active", as_it_is)


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
            updated_at=now,
        )
        change, event = "updated", EventType.SUBSCRIPTION_UPDATED
    title = f"{tenant.name} is {state} on {plan.name}"
    await record(conn, ctx, Event(event, title, tenant_id=tenant.id, metadata=metadata))
    return change
