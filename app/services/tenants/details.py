"""A tenant as operators and the tenant itself see it: its profile, its subscription, and the figures of the month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.database.connections import ReadConnection, as_batch
from app.errors import TenantNotFoundError
from app.services.directory.visible import sees_named
from sql.lists import tenant_list as statements


class TenantDetails(NamedTuple):
    """Everything that is shown of a tenant, with its current subscription.

    What is granted is the override where there is one, else the plan's; ``max_devices`` None means no limit.
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
    otp_delivery_method: str
    usage_quota: int
    usage_current: int
    codes_total: int
    codes_used: int
    created_at: datetime
    updated_at: datetime
    plan_name: str | None
    subscription_state: str | None
    monthly_run_quota: int | None
    monthly_run_quota_override: int | None
    plan_monthly_run_quota: int | None
    max_devices: int | None
    max_devices_override: int | None
    plan_max_devices: int | None


async def tenant_details(ctx: Context, tenant_slug: str) -> TenantDetails:
    """The tenant with this slug; raises TenantNotFoundError."""
    async with ctx.read() as conn:
        return await details_on(conn, ctx, tenant_slug)


async def details_on(conn: ReadConnection, ctx: Context, tenant_slug: str) -> TenantDetails:
    """The tenant with this slug, as this connection sees it; raises TenantNotFoundError."""
    month = ctx.month()
    details = await conn.maybe(statements.tenant_by_slug, TenantDetails, tenant_slug=tenant_slug, **month.as_parameters)
    if details is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return details


async def tenants_of_slugs(ctx: Context, slugs: Sequence[str]) -> list[TenantDetails | None]:
    """The tenants with these slugs that the caller sees, in the order of the slugs, with one statement."""
    asked = [slug for slug in slugs if sees_named(ctx, slug)]
    if not asked:
        return [None] * len(slugs)
    values = {"batch": as_batch([{"slug": slug} for slug in asked]), **ctx.month().as_parameters}
    async with ctx.read() as conn:
        found = await conn.many(statements.tenants_of_slugs, TenantDetails, **values)
    by_slug = {tenant.slug: tenant for tenant in found}
    return [by_slug.get(slug) for slug in slugs]


async def own_details(ctx: Context) -> TenantDetails:
    """The tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    month = ctx.month()
    async with ctx.read() as conn:
        values = {"tenant_id": ctx.tenant_id, **month.as_parameters}
        details = await conn.maybe(statements.tenant_by_id, TenantDetails, **values)
    if details is None:
        raise TenantNotFoundError(slug=ctx.tenant_slug)
    return details
