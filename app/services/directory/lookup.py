"""Finding a tenant by its slug, and keeping or locking it for a transaction."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Context
from app.database.connections import ReadConnection, WriteConnection
from app.errors import TenantNotFoundError
from app.services.directory.rules import is_slug
from app.services.directory.visible import seen_slug
from sql.statements import tenants as statements


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as other use cases need it."""

    id: int
    name: str
    slug: str


async def tenant_named(ctx: Context, tenant_slug: str) -> Tenant:
    """The tenant that a person has named by its slug, whatever they typed; raises TenantNotFoundError."""
    if not is_slug(tenant_slug):
        raise TenantNotFoundError(slug=tenant_slug)
    async with ctx.read() as conn:
        return await find_tenant(conn, tenant_slug)


async def tenant_id_for(ctx: Context, tenant_slug: str | None) -> int | None:
    """The id of the tenant whose rows a list shows, None for those of all.

    Raises TenantMismatchError as ``seen_slug`` does, TenantNotFoundError.
    """
    slug = seen_slug(ctx, tenant_slug)
    if ctx.session is not None:
        return ctx.tenant_id
    return None if slug is None else (await tenant_named(ctx, slug)).id


async def find_tenant(conn: ReadConnection, tenant_slug: str) -> Tenant:
    """The tenant with this slug; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def keep_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, which nobody can delete until this transaction has ended; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug_share_locked, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def lock_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, locked for this transaction against others that change its seats; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug_locked, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant
