"""Which tenants there are: finding one by its slug, and admitting a new one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from app.context import Context
from app.db import ReadConnection, WriteConnection, violated_constraint
from app.errors import TenantConflictError, TenantNotFoundError, ValidationError
from app.events import Event, EventType, record
from app.services.tenants.rules import is_email, is_slug
from sql.statements import tenants as statements


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as other use cases need it."""

    id: int
    name: str
    slug: str


@dataclass(frozen=True, slots=True)
class NewTenant:
    """The row of a tenant that was just stored."""

    id: int


async def find_tenant(conn: ReadConnection, tenant_slug: str) -> Tenant:
    """The tenant with this slug; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def keep_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, which stays until this transaction has ended; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug_kept, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def lock_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, held for this transaction against others that also change who holds its seats."""
    if (tenant := await conn.maybe(statements.by_slug_locked, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def add_tenant(ctx: Context, *, name: str, slug: str, email: str | None = None) -> tuple[Tenant, bool]:
    """Admit a tenant; True beside it if it is new. Repeating it with the same name changes nothing.

    Blanks around the name are no part of it. Raises ValidationError for a slug that is not lowercase words joined by
    single hyphens, TenantConflictError when another tenant has the slug.
    """
    name = name.strip()
    _check(name, slug, email)
    now = ctx.runtime.clock.now()
    try:
        async with ctx.runtime.db.write() as conn:
            row = {"name": name, "slug": slug, "email": email or None, "created_at": now, "updated_at": now}
            stored = await conn.one(statements.insert_tenant, NewTenant, **row)
            await record(conn, ctx, Event(EventType.TENANT_CREATED, f"Tenant {name} created", tenant_id=stored.id))
            return Tenant(stored.id, name, slug), True
    except IntegrityError as failure:
        if violated_constraint(failure) != "uq_tenants_slug":
            raise
    async with ctx.runtime.db.read() as reader:
        known = await find_tenant(reader, slug)
    if known.name != name:
        raise TenantConflictError(slug=slug)
    return known, False


def _check(name: str, slug: str, email: str | None) -> None:
    if not 1 <= len(name) <= 255:
        raise ValidationError([{"type": "name", "loc": ["body", "name"], "msg": "must have 1 to 255 characters"}])
    if not is_slug(slug):
        message = "must have 3 to 100 lowercase letters or digits in words joined by single hyphens"
        raise ValidationError([{"type": "slug", "loc": ["body", "slug"], "msg": message}])
    if email and (len(email) > 255 or not is_email(email)):
        raise ValidationError([{"type": "email", "loc": ["body", "email"], "msg": "is not an e-mail address"}])
