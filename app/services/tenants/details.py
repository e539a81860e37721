"""A tenant as operators and it itself see it: its profile, its subscription, and what the month has brought."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import NamedTuple

from app.context import Context
from app.db import ReadConnection
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
    def as_parameters(self) -> dict[str, date]:
        """The month as statements are told it."""
        return {"month": self.first_day, "next_month": self.next_day, "first": self.first, "next": self.next}


class TenantDetails(NamedTuple):
    """Everything that is shown of a tenant, with its current subscription.

    ``usage_current`` is the month's quantity of kind ``run``; the codes are those that were made this month, and how
    many of them were used at least once.
    """

    id: int
    name: str
    slug: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None
    usage_quota: int
    usage_current: int
    codes_total: int
    codes_used: int
    created_at: datetime
    updated_at: datetime
    plan_name: str | None
    subscription_state: str | None


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
    found = await conn.maybe(statements.tenant_by_slug, TenantDetails, tenant_slug=tenant_slug, **month.as_parameters)
    if found is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return found


async def own_details(ctx: Context) -> TenantDetails:
    """The tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    month = running_month(ctx)
    async with ctx.runtime.db.read() as conn:
        found = await conn.maybe(statements.tenant_by_id, TenantDetails, tenant_id=ctx.tenant_id, **month.as_parameters)
    if found is None:
        raise TenantNotFoundError(slug=ctx.tenant_slug)
    return found
