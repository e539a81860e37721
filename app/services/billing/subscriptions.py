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
    long, TenantNotFoundError, PlanNameNotFoundError, or SubscriptionConflictError
    when another tenant's subscription has the Stripe id.
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
            linked = await conn.one(billing.current_subscription, Subscription, tenant_id=tenant.id)
            return linked, change
    except IntegrityError as failure:
        kind = {
            "uq_subscriptions_stripe_customer_id": "customer",
            "uq_subscriptions_stripe_subscription_id": "subscription",
        }.get(violated_constraint(failure) or "")
        if kind is None:
            raise
        raise SubscriptionConflictError(kind=kind, reference=stripe[f"stripe_{kind}_id"]) from None


def _reference(field: str, given: str | None) -> str | None:
    """An id at Stripe as it is stored, None for a blank, which is nobody's id; raises ValidationError."""
    reference = (given or "").strip()
    if len(reference) > MAX_REFERENCE:
        raise ValidationError.of(field, f"must have at most {MAX_REFERENCE} characters", kind="string_too_long")
    return reference or None


async def put_on_plan(conn: WriteConnection, ctx: Context, tenant: Tenant, plan: Plan) -> None:
    """Put the tenant's current subscription on this plan, in whatever state it is, or give it an active one.

    Whoever calls holds the tenant in this transaction, or has just made it.
    """
    known = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    unlinked: dict[str, str | None] = {"stripe_customer_id": None, "stripe_subscription_id": None}
    await _set(conn, ctx, tenant, plan, known.state if known else "active", unlinked)


async def _set(
    conn: WriteConnection, ctx: Context, tenant: Tenant, plan: Plan, state: str, stripe: dict[str, str | None]
) -> str:
    now = ctx.now()
    known = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
    told: dict[str, Any] = {"plan": plan.name, "state": state, **stripe}
    if known is None:
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
        kept = {key: value or getattr(known, key) for key, value in stripe.items()}
        if (known.plan_name, known.state) == (plan.name, state) and all(
            getattr(known, key) == value for key, value in kept.items()
        ):
            return "unchanged"
        await conn.affected(
            billing.set_subscription,
            of_tenant_id=tenant.id,
            plan_id=plan.id,
            state=state,
            **kept,
            updated_at=now,
        )
        change, event = "updated", EventType.SUBSCRIPTION_UPDATED
    await record(
        conn, ctx, Event(event, f"{tenant.name} is {state} on {plan.name}", tenant_id=tenant.id, metadata=told)
    )
    return change
