"""Branding: what a sign-in page may show of a tenant before anybody has signed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.context import Context
from app.database.connections import as_batch
from app.errors import TenantNotFoundError
from app.limits.guesses import guessing
from app.runtime import Coalesced, Runtime
from sql.statements import tenants as statements


@dataclass(frozen=True, slots=True)
class Branding:
    """Logo address, colour and domain, each possibly absent."""

    logo_url: str | None
    primary_color: str | None
    domain: str | None


async def branding(ctx: Context, tenant_slug: str) -> Branding:
    """A tenant's branding; raises TenantNotFoundError, and RateLimitedError for guesses."""
    async with guessing(ctx):
        if (answer := await ctx.runtime.coalescer(BRANDINGS).ask(tenant_slug)) is None:
            raise TenantNotFoundError(slug=tenant_slug)
    return answer


async def _read(runtime: Runtime, slugs: Sequence[str]) -> list[Branding | None]:
    batch = as_batch([{"slug": slug} for slug in dict.fromkeys(slugs)])
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.brandings, batch=batch)
    branding_of = {row.slug: Branding(row.logo_url, row.primary_color, row.domain) for row in rows}
    return [branding_of.get(slug) for slug in slugs]


BRANDINGS = Coalesced("branding", _read)
