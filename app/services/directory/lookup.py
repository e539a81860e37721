"""Finding a tenant by its slug, and keeping or locking it for a transaction."""

from __future__ import annotations

from dataclasses import dataclass

from app.database.connections import ReadConnection, WriteConnection
from app.errors import TenantNotFoundError
from sql.statements import tenants as statements


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as other use cases need it."""

    id: int
    name: str
    slug: str


async def find_tenant(conn: ReadConnection, tenant_slug: str) -> Tenant:
    """The tenant with this slug; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def keep_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, which nobody can delete until this transaction has ended; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug_kept, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant


async def lock_tenant(conn: WriteConnection, tenant_slug: str) -> Tenant:
    """The tenant, locked for this transaction against others that change its seats; raises TenantNotFoundError."""
    if (tenant := await conn.maybe(statements.by_slug_locked, Tenant, tenant_slug=tenant_slug)) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return tenant
