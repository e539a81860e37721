"""Admitting tenants and changing them; each change is compared with what was there and told in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import TenantNotFoundError
from app.events import Event, EventType, record
from app.services.billing.plans import find_plan
from app.services.billing.subscriptions import hold_plan
from app.services.directory.lookup import Tenant
from app.services.tenants.details import TenantDetails, own_details, tenant_details
from sql.statements import tenant_changes as statements

# For so many of the plan's monthly runs one code is given to who is admitted: at least one, and no more than a tenth of
# the largest quota that a tenant is admitted with. A plan without a limit has a quota of millions.
RUNS_PER_CODE = 10
MAX_FIRST_CODES = 10_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be changed of a tenant, as it is stored."""

    id: int
    slug: str
    name: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None


async def update_tenant(
    ctx: Context, tenant_slug: str, changes: Mapping[str, Any], plan_name: str | None = None
) -> TenantDetails:
    """Set the columns of ``changes`` and, where it is named, the plan of the current subscription.

    Raises TenantNotFoundError, PlanNameNotFoundError; then nothing has changed.
    """
    async with ctx.write() as conn:
        known = await conn.maybe(statements.profile_by_slug_locked, Profile, tenant_slug=tenant_slug)
        if known is None:
            raise TenantNotFoundError(slug=tenant_slug)
        await _change(conn, ctx, known, changes)
        if plan_name is not None:
            plan = await find_plan(conn, plan_name)
            await hold_plan(conn, ctx, Tenant(known.id, str(changes.get("name", known.name)), known.slug), plan)
    return await tenant_details(ctx, tenant_slug)


async def update_own_profile(ctx: Context, changes: Mapping[str, Any]) -> TenantDetails:
    """Set these columns of the tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    async with ctx.write() as conn:
        known = await conn.maybe(statements.profile_by_id_locked, Profile, tenant_id=ctx.tenant_id)
        if known is None:
            raise TenantNotFoundError(slug=ctx.tenant_slug)
        await _change(conn, ctx, known, changes)
    return await own_details(ctx)


async def _change(conn: WriteConnection, ctx: Context, known: Profile, changes: Mapping[str, Any]) -> None:
    """Store what differs from what is there, and tell each difference; nothing, where nothing differs."""
    differing = {name: value for name, value in changes.items() if value != getattr(known, name)}
    if not differing:
        return
    told = {name: {"from": getattr(known, name), "to": value} for name, value in differing.items()}
    await conn.affected(statements.set_tenant, of_id=known.id, **differing, updated_at=ctx.now())
    title = f"Tenant {differing.get('name', known.name)} updated"
    event = Event(EventType.TENANT_UPDATED, title, tenant_id=known.id, metadata={"slug": known.slug, "changes": told})
    await record(conn, ctx, event)
