"""Admitting tenants and changing them; each change is compared with what was there and told in its transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError

from app.context import Context
from app.db import WriteConnection, violated_constraint
from app.errors import TenantConflictError, TenantNotFoundError
from app.events import Event, EventType, record
from app.services.billing.plans import Plan, find_plan
from app.services.billing.subscriptions import hold_plan
from app.services.licensing.issue import AUTOMATIC_LABEL, code_rows, store_codes
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from app.services.tenants.details import TenantDetails, details_on, own_details, tenant_details
from app.services.tenants.directory import NewTenant, Tenant
from sql.statements import tenant_changes as statements
from sql.statements import tenants

# For so many of the plan's monthly runs one code is given to who is admitted: at least one, and no more than a tenth of
# the largest quota that a tenant is admitted with. A plan without a limit has a quota of millions.
RUNS_PER_CODE = 10
MOST_FIRST_CODES = 10_000


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


class Admitted(NamedTuple):
    """A new tenant, and its first codes in clear, for the only time."""

    details: TenantDetails
    codes: list[str]


async def create_tenant(ctx: Context, *, plan_name: str, **fields: Any) -> Admitted:
    """Admit a tenant with an active subscription, its first codes, and a welcome where it has an e-mail address.

    ``fields`` are the columns of the tenant. Raises PlanNotFoundError, TenantConflictError.
    """
    slug: str = fields["slug"]
    try:
        async with ctx.write() as conn:
            plan = await find_plan(conn, plan_name)
            codes, deliveries = await _admit(conn, ctx, plan, fields)
            # Looked at before it is committed: the codes are shown this once, whatever cannot be asked afterwards.
            admitted = await details_on(conn, ctx, slug)
    except IntegrityError as failure:
        if violated_constraint(failure) == "uq_tenants_slug":
            raise TenantConflictError(slug=slug) from None
        raise
    await enqueue_deliveries(ctx, deliveries)
    return Admitted(admitted, codes)


async def update_tenant(
    ctx: Context, tenant_slug: str, changes: Mapping[str, Any], plan_name: str | None = None
) -> TenantDetails:
    """Set the columns of ``changes`` and, where it is named, the plan of the current subscription.

    Raises TenantNotFoundError, PlanNotFoundError; then nothing has changed.
    """
    async with ctx.runtime.db.write() as conn:
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
    async with ctx.runtime.db.write() as conn:
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
    await conn.affected(statements.set_tenant, of_id=known.id, **differing, updated_at=ctx.runtime.clock.now())
    title = f"Tenant {differing.get('name', known.name)} updated"
    event = Event(EventType.TENANT_UPDATED, title, tenant_id=known.id, metadata={"slug": known.slug, "changes": told})
    await record(conn, ctx, event)


async def _admit(
    conn: WriteConnection, ctx: Context, plan: Plan, fields: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    """Everything that a new tenant begins with; answers its codes, and the messages that are to be sent."""
    now = ctx.runtime.clock.now()
    stored = await conn.one(tenants.insert_tenant, NewTenant, **fields, created_at=now, updated_at=now)
    tenant = Tenant(stored.id, fields["name"], fields["slug"])
    metadata = {"slug": tenant.slug, "plan": plan.name}
    event = Event(EventType.TENANT_CREATED, f"Tenant {tenant.name} created", tenant_id=tenant.id, metadata=metadata)
    await record(conn, ctx, event)
    await hold_plan(conn, ctx, tenant, plan)
    count = min(max(1, plan.monthly_run_quota // RUNS_PER_CODE), MOST_FIRST_CODES)
    # A large plan brings thousands of codes, whose hashes would hold the loop up.
    codes, rows = await asyncio.to_thread(code_rows, ctx, tenant, count, label=AUTOMATIC_LABEL)
    await store_codes(conn, ctx, tenant, rows, {"code_count": count, "max_uses": 1, "label": AUTOMATIC_LABEL})
    if not fields.get("email"):
        return codes, []
    return codes, [await request_delivery(conn, "welcome", tenant.slug, at=now)]
