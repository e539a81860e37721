"""Branding: what a sign-in page may show of a tenant before anybody has signed in."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Context
from app.errors import TenantNotFoundError
from sql.statements import tenants as statements


@dataclass(frozen=True, slots=True)
class Branding:
    """Logo address, colour and domain, each possibly absent."""

    logo_url: str | None
    primary_color: str | None
    domain: str | None


async def branding(ctx: Context, tenant_slug: str) -> Branding:
    """A tenant's branding; raises TenantNotFoundError."""
    async with ctx.runtime.db.read() as conn:
        found = await conn.maybe(statements.branding, Branding, tenant_slug=tenant_slug)
    if found is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return found
