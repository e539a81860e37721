"""The month's usage against the plan's quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

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


@dataclass(frozen=True, slots=True)
class Quantity:
    """The sum of a period."""

    quantity: int


async def usage_summary(ctx: Context, tenant_slug: str) -> UsageSummary:
    """The running month in the installation's time zone; raises TenantMismatchError or TenantNotFoundError."""
    tenant = await metered_tenant(ctx, tenant_slug)
    today = ctx.runtime.clock.now().astimezone(ctx.runtime.zone).date()
    first_day, next_day = month_around(today)
    async with ctx.runtime.db.read() as conn:
        used = await conn.one(
            usage.quantity_between,
            Quantity,
            tenant_id=tenant.tenant_id,
            kind=RUN,
            first_day=first_day,
            next_day=next_day,
        )
    return UsageSummary(
        tenant=tenant.tenant_slug,
        year=first_day.year,
        month=first_day.month,
        runs=int(used.quantity),
        quota=tenant.monthly_run_quota or 0,
        plan=tenant.plan_name,
    )


def month_around(day: date) -> tuple[date, date]:
    """The first day of the month and the first day of the next one."""
    first = day.replace(day=1)
    return first, months_later(first, 1)


def months_later(first_of_month: date, months: int) -> date:
    """The first day of the month that many months later, or earlier where negative."""
    years, month = divmod(first_of_month.year * 12 + first_of_month.month - 1 + months, 12)
    return date(years, month + 1, 1)
