"""A tenant as operators and it itself see it: its profile, its subscription, and what the month has brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from app.context import Context
from app.db import ReadConnection, as_batch
from app.errors import TenantNotFoundError
from app.services.usage.summary import month_around
from sql.statements import tenant_lists as statements


class Month(NamedTuple):
    """The running month of the installation: its first day, that of the next one, and both as moments."""

    first_day: date
    next_day: date
    first: datetime
    next: datetime

    @property
    def days(self) -> dict[str, date]:
        """The month as statements are told it."""
        return {"month": self.first_day, "next_month": self.next_day}


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant with its current subscription; ``usage_current`` is the month's quantity of kind ``run``."""

    id: int
    name: str
    slug: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None
    created_at: datetime
    updated_at: datetime
    plan_name: str | None
    subscription_state: str | None
    usage_quota: int
    usage_current: int


class CodesOfMonth(NamedTuple):
    """The codes that a tenant was given this month, and how many of them were used at least once."""

    total: int
    used: int


class TenantDetails(NamedTuple):
    """Everything that is shown of a tenant."""

    tenant: TenantRow
    codes: CodesOfMonth


def running_month(ctx: Context) -> Month:
    """The month that it is in the installation's time zone."""
    zone = ctx.runtime.zone
    days = month_around(ctx.runtime.clock.now().astimezone(zone).date())
    first, following = (datetime.combine(day, time.min, zone).astimezone(UTC) for day in days)
    return Month(*days, first, following)


async def tenant_details(ctx: Context, tenant_slug: str) -> TenantDetails:
    """The tenant with this slug; raises TenantNotFoundError."""
    async with ctx.runtime.db.read() as conn:
        return await details_on(conn, ctx, tenant_slug)


async def details_on(conn: ReadConnection, ctx: Context, tenant_slug: str) -> TenantDetails:
    """The tenant with this slug, as this connection sees it; raises TenantNotFoundError."""
    month = running_month(ctx)
    found = await conn.many(statements.tenant_by_slug, TenantRow, tenant_slug=tenant_slug, **month.days)
    details = await with_codes(conn, month, found)
    if not details:
        raise TenantNotFoundError(slug=tenant_slug)
    return details[0]


async def own_details(ctx: Context) -> TenantDetails:
    """The tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    month = running_month(ctx)
    async with ctx.runtime.db.read() as conn:
        found = await conn.many(statements.tenant_by_id, TenantRow, tenant_id=ctx.tenant_id, **month.days)
        details = await with_codes(conn, month, found)
    if not details:
        raise TenantNotFoundError(slug=ctx.tenant_slug)
    return details[0]


async def with_codes(conn: ReadConnection, month: Month, found: Sequence[TenantRow]) -> list[TenantDetails]:
    """Tenants with their codes of the month, in their order, with one statement for all of them."""
    if not found:
        return []
    batch = as_batch([{"tenant_id": tenant.id} for tenant in found])
    rows = await conn.rows(statements.codes_of_month, batch=batch, first=month.first, next=month.next)
    codes = {row.tenant_id: CodesOfMonth(row.total, row.used) for row in rows}
    return [TenantDetails(tenant, codes.get(tenant.id, CodesOfMonth(0, 0))) for tenant in found]
