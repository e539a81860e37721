"""The demonstration: three plans and a tenant that a developer can try the portal with at once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from app.context import Context
from app.errors import PlanConflictError
from app.services.billing.plans import Plan, ensure_plan
from app.services.billing.subscriptions import Subscription, link_subscription
from app.services.directory.lookup import Tenant
from app.services.tenants.onboarding import ensure_tenant
from sql.statements import billing, tenants

TENANT_SLUG = "demo"
TENANT_NAME = "Demo tenant"
# An address that nobody has: the development mailbox shows the codes by which the tenant signs in.
TENANT_EMAIL = "demo@example.com"
TENANT_PLAN = "Pro"
TRIES = 5


@dataclass(frozen=True, slots=True)
class DemonstrationPlan:
    """A plan as it is offered; ``max_devices`` None means no limit."""

    name: str
    price_id: str
    quota: int
    max_devices: int | None


PLANS = (
    DemonstrationPlan("Starter", "price_starter_monthly", 10, 3),
    DemonstrationPlan("Pro", "price_pro_monthly", 50, 10),
    DemonstrationPlan("Enterprise", "price_enterprise_monthly", 200, None),
)


async def seed_demonstration(ctx: Context) -> bool:
    """Create the parts of the demonstration that are missing; answers whether any was.

    A part that is there stays as it is, and once the tenant has a subscription nothing is checked any more: a developer
    may have changed it on purpose.
    """
    for _ in range(TRIES):
        try:
            return await _seed(ctx)
        except (IntegrityError, PlanConflictError):
            # Another process on the same new database was quicker with a plan; look at what there is now.
            continue
    return await _seed(ctx)


async def _seed(ctx: Context) -> bool:
    async with ctx.read() as conn:
        tenant = await conn.maybe(tenants.by_slug, Tenant, tenant_slug=TENANT_SLUG)
        if tenant is not None:
            subscription = await conn.maybe(billing.current_subscription, Subscription, tenant_id=tenant.id)
            if subscription is not None:
                return False
        plan_names = {plan.name for plan in await conn.many(billing.plans_by_quota, Plan)}
    for plan in PLANS:
        if plan.name not in plan_names:
            await ensure_plan(
                ctx, name=plan.name, price_id=plan.price_id, quota=plan.quota, max_devices=plan.max_devices
            )
    if tenant is None:
        await ensure_tenant(ctx, name=TENANT_NAME, slug=TENANT_SLUG, email=TENANT_EMAIL)
    await link_subscription(ctx, tenant_slug=TENANT_SLUG, plan_name=TENANT_PLAN)
    return True
