"""A month's usage against the plan's quota, by kind and by day where a month is named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from app.calendar import Month
from app.context import Context
from app.services.usage.access import metered_tenant
from sql.statements import usage

# The kind of usage event that the monthly quota counts.
RUN = "run"
# Kinds are the devices' to choose, so what is answered of them is bounded.
MAX_KINDS = 1000
MAX_DAYS = 10_000


@dataclass(frozen=True, slots=True)
class KindUsage:
    """What a month comes to in one kind."""

    kind: str
    quantity: int
    events: int


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What a day comes to in one kind."""

    day: date
    kind: str
    quantity: int
    events: int


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """A tenant's month: ``runs`` is the quantity of kind ``run``, ``plan`` None without a subscription.

    ``kinds`` and ``days`` are None where no month was named.
    """

    tenant: str
    year: int
    month: int
    runs: int
    quota: int
    plan: str | None
    kinds: list[KindUsage] | None = None
    days: list[DayUsage] | None = None


async def usage_summary(ctx: Context, tenant_slug: str, first_day: date | None = None) -> UsageSummary:
    """The month that begins on a day, by kind and by day, or the running one, in the installation's time zone.

    Voided events count in none. Quota and plan are those of today. Raises TenantMismatchError or TenantNotFoundError.
    """
    tenant = await metered_tenant(ctx, tenant_slug)
    month = ctx.month() if first_day is None else Month.of(first_day, ctx.runtime.zone)
    span = {"tenant_id": tenant.tenant_id, "first_day": month.first_day, "next_day": month.next_day}
    kinds = days = None
    async with ctx.read() as conn:
        runs = await conn.one(usage.quantity_between, int, kind=RUN, **span)
        if first_day is not None:
            kinds = await conn.many(usage.sums_by_kind, KindUsage, max_rows=MAX_KINDS, **span)
            days = await conn.many(usage.sums_by_day, DayUsage, max_rows=MAX_DAYS, **span)
            # Not every database sorts dots and hyphens alike.
            kinds.sort(key=lambda each: each.kind)
            days.sort(key=lambda each: (each.day, each.kind))
    return UsageSummary(
        tenant=tenant.tenant_slug,
        year=month.first_day.year,
        month=month.first_day.month,
        runs=runs,
        quota=tenant.monthly_run_quota or 0,
        plan=tenant.plan_name,
        kinds=kinds,
        days=days,
    )
