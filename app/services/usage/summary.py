"""The month's usage against the plan's quota."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Context
from app.services.usage.access import metered_tenant
from sql.statements import usage

# The kind of usage event that the monthly quota counts.
RUN = "run"


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """A tenant's month: ``runs`` is the quantity of kind ``run``, ``plan`` None without a subscription."""

    tenant: str
    year: int
    month: int
    runs: int
    quota: int
    plan: str | None


async def usage_summary(ctx: Context, tenant_slug: str) -> UsageSummary:
    """The running month in the installation's time zone; raises TenantMismatchError or TenantNotFoundError."""
    tenant = await metered_tenant(ctx, tenant_slug)
    month = ctx.month()
    async with ctx.read() as conn:
        runs = await conn.one(
            usage.quantity_between,
            int,
            tenant_id=tenant.tenant_id,
            kind=RUN,
            first_day=month.first_day,
            next_day=month.next_day,
        )
    return UsageSummary(
        tenant=tenant.tenant_slug,
        year=month.first_day.year,
        month=month.first_day.month,
        runs=runs,
        quota=tenant.monthly_run_quota or 0,
        plan=tenant.plan_name,
    )
