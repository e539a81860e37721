"""Whose rows a caller sees: a tenant its own, an operator those of all."""

from __future__ import annotations

from app.context import Context
from app.errors import TenantMismatchError


def sees(ctx: Context, tenant_id: int) -> bool:
    """Whether the caller sees what is this tenant's."""
    return ctx.session is None or ctx.session.tenant_id == tenant_id


def sees_named(ctx: Context, tenant_slug: str) -> bool:
    """Whether the caller sees what is of the tenant with this slug."""
    return ctx.session is None or ctx.session.tenant_slug == tenant_slug


def seen_slug(ctx: Context, tenant_slug: str | None) -> str | None:
    """The slug of the tenant whose rows a list shows: a tenant's own, or what an operator asks for, None for all.

    Raises TenantMismatchError for a tenant that asks for another slug, whether such a tenant exists or not.
    """
    if ctx.session is None:
        return tenant_slug
    if tenant_slug is not None and not sees_named(ctx, tenant_slug):
        raise TenantMismatchError
    return ctx.session.tenant_slug
