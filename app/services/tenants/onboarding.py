"""Onboarding: creating a tenant with its subscription, its first codes and its welcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError

from app import typed_text
from app.context import Context
from app.database.connections import WriteConnection
from app.database.failures import violated_constraint
from app.errors import TenantConflictError, ValidationError
from app.events import Event, EventType, record
from app.services.billing.plans import Plan, find_plan
from app.services.billing.subscriptions import put_on_plan
from app.services.directory.lookup import Tenant, find_tenant
from app.services.directory.rules import is_email, is_slug
from app.services.licensing.codes import AUTOMATIC_LABEL, code_rows, store_codes
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from app.services.tenants.details import TenantDetails, details_on
from sql.statements import tenants as statements

# A new tenant gets one activation code for so many of its plan's monthly runs: at least one, and a bounded number,
# because a plan without a limit has a quota of millions.
RUNS_PER_CODE = 10
MAX_FIRST_CODES = 10_000


class NewTenant(NamedTuple):
    """A new tenant, and its first codes in clear, for the only time."""

    details: TenantDetails
    codes: list[str]


async def create_tenant(ctx: Context, *, plan_name: str, **columns: Any) -> NewTenant:
    """Create a tenant with an active subscription, its first codes, and a welcome where it has an e-mail address.

    ``columns`` are those of the tenant's row. Raises PlanNameNotFoundError, TenantConflictError.
    """
    slug: str = columns["slug"]
    try:
        async with ctx.write() as conn:
            plan = await find_plan(conn, plan_name)
            codes, deliveries = await _create(conn, ctx, plan, columns)
            # Read before the commit: the codes are shown this once, even if the database cannot be asked afterwards.
            details = await details_on(conn, ctx, slug)
    except IntegrityError as failure:
        if violated_constraint(failure) == "uq_tenants_slug":
            raise TenantConflictError(slug=slug) from None
        raise
    enqueue_deliveries(ctx, deliveries)
    return NewTenant(details, codes)


async def ensure_tenant(ctx: Context, *, name: str, slug: str, email: str | None = None) -> tuple[Tenant, bool]:
    """Create a tenant without subscription and codes, unless it is there; True beside it if it is new.

    Blanks around the name are no part of it, and the slug is stored in lower case. Raises ValidationError for a slug
    that is not words joined by single hyphens, TenantConflictError when a tenant of another name has the slug.
    """
    name, slug = typed_text.stripped(name), typed_text.slug(slug)
    email = typed_text.stripped(email) if email else None
    _check(name, slug, email)
    now = ctx.now()
    try:
        async with ctx.write() as conn:
            columns = {"name": name, "slug": slug, "email": email or None, "created_at": now, "updated_at": now}
            tenant_id = await conn.one(statements.insert_tenant, int, **columns)
            await record(conn, ctx, Event(EventType.TENANT_CREATED, f"Tenant {name} created", tenant_id=tenant_id))
            return Tenant(tenant_id, name, slug), True
    except IntegrityError as failure:
        if violated_constraint(failure) != "uq_tenants_slug":
            raise
    async with ctx.read() as reader:
        tenant = await find_tenant(reader, slug)
    if tenant.name != name:
        raise TenantConflictError(slug=slug)
    return tenant, False


async def _create(
    conn: WriteConnection, ctx: Context, plan: Plan, columns: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    """Store the tenant, its subscription and its codes; answers the codes, and the ids of the messages to send."""
    now = ctx.now()
    tenant_id = await conn.one(statements.insert_tenant, int, **columns, created_at=now, updated_at=now)
    tenant = Tenant(tenant_id, columns["name"], columns["slug"])
    metadata = {"slug": tenant.slug, "plan": plan.name}
    event = Event(EventType.TENANT_CREATED, f"Tenant {tenant.name} created", tenant_id=tenant.id, metadata=metadata)
    await record(conn, ctx, event)
    await put_on_plan(conn, ctx, tenant, plan)
    count = min(max(1, plan.monthly_run_quota // RUNS_PER_CODE), MAX_FIRST_CODES)
    # A large plan brings thousands of codes, whose hashes would hold the loop up.
    codes, rows = await asyncio.to_thread(code_rows, ctx, tenant, count, label=AUTOMATIC_LABEL)
    await store_codes(conn, ctx, tenant, rows, {"code_count": count, "max_uses": 1, "label": AUTOMATIC_LABEL})
    if not columns.get("email"):
        return codes, []
    return codes, [await request_delivery(conn, "welcome", tenant.slug, at=now)]


def _check(name: str, slug: str, email: str | None) -> None:
    if not 1 <= len(name) <= 255:
        raise ValidationError.of("name", "must have 1 to 255 characters", kind="name")
    if (fault := typed_text.fault_of_name(name)) is not None:
        raise ValidationError.of("name", fault, kind="name")
    if not is_slug(slug):
        message = "must have 3 to 100 lowercase letters or digits in words joined by single hyphens"
        raise ValidationError.of("slug", message, kind="slug")
    if email and (len(email) > 255 or not is_email(email)):
        raise ValidationError.of("email", "is not an e-mail address", kind="email")
