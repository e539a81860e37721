"""Plans, tenants and subscriptions, from the command line; each command may be repeated."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter

from app.commands.output import answer, escape, table
from app.commands.parameters import AsJson, TenantSlug, read_override
from app.commands.session import operating
from app.services.billing import plans
from app.services.billing.subscriptions import Subscription, link_subscription
from app.services.tenants import onboarding, tenant_list
from app.services.tenants.tenant_list import Licensee

PAGE = 500
Override = Annotated[
    int | Literal["plan"] | None,
    Parameter(converter=read_override, help="This subscription's own figure; plan: the plan's again."),
]


async def seed_plan(
    *,
    name: Annotated[str, Parameter(help="The plan's name.")],
    price_id: Annotated[str, Parameter(help="Its price in Stripe.")],
    quota: Annotated[int, Parameter(help="Runs a month.")],
    max_devices: Annotated[int | None, Parameter(help="Devices at a time; unlimited if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a plan, or bring it to these figures."""
    async with operating() as ctx:
        plan, change = await plans.ensure_plan(ctx, name=name, price_id=price_id, quota=quota, max_devices=max_devices)
    answer(
        as_json,
        {
            "id": plan.id,
            "name": plan.name,
            "price_id": plan.stripe_price_id,
            "quota": plan.monthly_run_quota,
            "max_devices": plan.max_devices,
            "change": change,
        },
        f"Plan {escape(plan.name)} {change}: {quota} runs a month, "
        f"{'any number of' if max_devices is None else max_devices} devices.",
    )


async def list_plans(*, as_json: AsJson = False) -> None:
    """List the plans, the smallest quota first."""
    async with operating() as ctx:
        all_plans = await plans.list_plans(ctx)
    columns = ("id", "name", "runs a month", "devices", "price in Stripe")
    rows = [
        (
            plan.id,
            plan.name,
            plan.monthly_run_quota,
            _limit(plan.max_devices),
            plan.stripe_price_id,
        )
        for plan in all_plans
    ]
    result = [
        {
            "id": plan.id,
            "name": plan.name,
            "price_id": plan.stripe_price_id,
            "quota": plan.monthly_run_quota,
            "max_devices": plan.max_devices,
        }
        for plan in all_plans
    ]
    output = table(columns, rows) if rows else "No plans yet: portal seed-plan --name … --price-id … --quota …"
    answer(as_json, {"plans": result}, output)


async def add_tenant(
    *,
    name: Annotated[str, Parameter(help="The tenant's name.")],
    slug: Annotated[str, Parameter(help="Its short name in addresses: lowercase words joined by hyphens.")],
    email: Annotated[str | None, Parameter(help="Where it is reached.")] = None,
    plan: Annotated[str | None, Parameter(help="Also give it an active subscription to this plan.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a tenant, with --plan also its subscription."""
    subscription = None
    async with operating() as ctx:
        if plan is not None:
            async with ctx.read() as conn:
                await plans.find_plan(conn, plan)
        tenant, is_new = await onboarding.ensure_tenant(ctx, name=name, slug=slug, email=email)
        if plan is not None:
            subscription, _ = await link_subscription(ctx, tenant_slug=tenant.slug, plan_name=plan)
    lines = [f"Tenant {escape(tenant.name)} ({tenant.slug}) {'added' if is_new else 'is there already'}."]
    if subscription is None:
        command = f"portal link-sub --tenant {tenant.slug} --plan …"
        lines.append(f"It needs a plan before its devices can be activated: {command}")
    else:
        lines.append(
            f"It is {subscription.state} on {escape(subscription.plan_name)}: portal gen-codes --tenant {tenant.slug}"
        )
    result = {"id": tenant.id, "name": tenant.name, "slug": tenant.slug, "change": "created" if is_new else "unchanged"}
    answer(as_json, {**result, "subscription": subscription and _as_json(subscription)}, *lines)


async def list_tenants(*, as_json: AsJson = False) -> None:
    """List the tenants, by slug, with what they have subscribed to."""
    tenants: list[Licensee] = []
    async with operating() as ctx:
        page = await tenant_list.tenants_by_slug(ctx, page_size=PAGE)
        while page:
            tenants += page
            page = await tenant_list.tenants_by_slug(ctx, after_slug=tenants[-1].slug, page_size=PAGE)
    columns = ("id", "slug", "plan", "state", "devices", "runs a month", "name")
    rows = [
        (
            tenant.id,
            tenant.slug,
            tenant.plan,
            tenant.state,
            None if tenant.plan is None else f"{tenant.seats_used}/{_devices(tenant)}",
            _runs(tenant),
            tenant.name,
        )
        for tenant in tenants
    ]
    output = table(columns, rows) if rows else "No tenants yet: portal add-tenant --name … --slug …"
    answer(as_json, {"tenants": [asdict(tenant) for tenant in tenants]}, output)


async def link_sub(
    *,
    tenant: TenantSlug,
    plan: Annotated[str, Parameter(help="The plan's name.")],
    customer: Annotated[str | None, Parameter(help="The tenant's customer id in Stripe.")] = None,
    sub: Annotated[str | None, Parameter(help="The subscription's id in Stripe.")] = None,
    state: Annotated[str, Parameter(help="active, trialing, past_due, canceled, …")] = "active",
    max_devices_override: Override = None,
    monthly_run_quota_override: Override = None,
    as_json: AsJson = False,
) -> None:
    """Give a tenant its subscription, or change it."""
    async with operating() as ctx:
        subscription, change = await link_subscription(
            ctx,
            tenant_slug=tenant,
            plan_name=plan,
            state=state,
            stripe_customer_id=customer,
            stripe_subscription_id=sub,
            overrides={
                name: None if value == "plan" else value
                for name, value in (
                    ("max_devices_override", max_devices_override),
                    ("monthly_run_quota_override", monthly_run_quota_override),
                )
                if value is not None
            },
        )
    answer(
        as_json,
        {"tenant": tenant, **_as_json(subscription), "change": change},
        f"{tenant} is {subscription.state} on {escape(subscription.plan_name)} ({change}).",
    )


def _limit(max_devices: int | None) -> str:
    return "unlimited" if max_devices is None else str(max_devices)


def _devices(tenant: Licensee) -> str:
    granted = _limit(tenant.max_devices)
    is_own = tenant.max_devices_override is not None
    return f"{granted} (plan: {_limit(tenant.plan_max_devices)})" if is_own else granted


def _runs(tenant: Licensee) -> str | None:
    if tenant.monthly_run_quota_override is not None:
        return f"{tenant.monthly_run_quota} (plan: {tenant.plan_monthly_run_quota})"
    return None if tenant.monthly_run_quota is None else str(tenant.monthly_run_quota)


def _as_json(subscription: Subscription) -> dict[str, object]:
    return {
        "id": subscription.id,
        "plan": subscription.plan_name,
        "state": subscription.state,
        "customer": subscription.stripe_customer_id,
        "sub": subscription.stripe_subscription_id,
        "seats_used": subscription.seats_used,
        "max_devices": subscription.max_devices,
        "max_devices_override": subscription.max_devices_override,
        "quota": subscription.monthly_run_quota,
        "monthly_run_quota_override": subscription.monthly_run_quota_override,
    }
