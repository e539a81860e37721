"""Sign-in links that operators make for tenants: for one whom strangers keep out, or whom no message reaches."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.clock import good_at
from app.context import Context
from app.errors import RateLimitedError, TenantLinkInvalidError
from app.events import Event, EventType, record
from app.limits.addresses import network_of
from app.limits.exact_limits import ExactLimit, count_hit
from app.services.directory.lookup import Tenant, keep_tenant
from app.services.tenants.known_browsers import new_mark
from app.services.tenants.sessions import TOKEN_BYTES, begin_session
from app.services.tenants.sign_in import Admitted
from app.services.tenants.sign_in_limits import TEN_MINUTES
from app.settings import Settings
from sql.statements import sign_in as statements
from sql.statements import tenants

PATH = "/sign-in/"


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link that signs a tenant in once, until it expires; it is shown when it is made and never again."""

    tenant_slug: str
    sign_in_url: str
    expires_at: datetime


async def make_link(ctx: Context, tenant_slug: str) -> SignInLink:
    """Make a link for a tenant; an earlier one ends. Raises TenantNotFoundError."""
    settings, now = ctx.runtime.settings, ctx.now()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = now + timedelta(seconds=settings.tenant_sign_in_link_seconds)
    async with ctx.write() as conn:
        tenant = await keep_tenant(conn, tenant_slug)
        row = {"tenant_id": tenant.id, "token_hash": ctx.runtime.keys.token_hash("tenant sign-in link", token)}
        await conn.affected(statements.store_link, **row, expires_at=expires_at, created_at=now)
        metadata = {"slug": tenant.slug, "expires_at": expires_at}
        title = f"Sign-in link for {tenant.slug} made"
        await record(conn, ctx, Event(EventType.SIGN_IN_LINK_CREATED, title, tenant_id=tenant.id, metadata=metadata))
    return SignInLink(tenant.slug, settings.public_url.rstrip("/") + PATH + token, expires_at)


async def link_owner(ctx: Context, token: str) -> Tenant:
    """The tenant that a link is for; the link stays unused. Raises TenantLinkInvalidError."""
    token_hash = ctx.runtime.keys.token_hash("tenant sign-in link", token)
    async with ctx.read() as conn:
        tenant = await conn.maybe(statements.tenant_of_link, Tenant, token_hash=token_hash, **_times(ctx))
    if tenant is None:
        raise TenantLinkInvalidError
    return tenant


async def use_link(ctx: Context, token: str) -> Admitted:
    """Begin a session for the bearer of a link, in a browser that is known from then on; the link ends.

    Raises TenantLinkInvalidError, also for the second of two at once and for a tenant that was deleted just now;
    RateLimitedError.
    """
    limit = ExactLimit("links of an address", ctx.runtime.settings.one_time_password_guesses_per_address, TEN_MINUTES)
    async with ctx.write() as conn:
        wait = await count_hit(conn, ctx, limit, network_of(ctx.address))
    if wait is not None:
        raise RateLimitedError(retry_after=wait)
    owner = await link_owner(ctx, token)
    token_hash = ctx.runtime.keys.token_hash("tenant sign-in link", token)
    async with ctx.write() as conn:
        # Deleted just now, another tenant may have the slug, and not this link.
        tenant = await conn.maybe(tenants.by_slug_share_locked, Tenant, tenant_slug=owner.slug)
        taken = {"token_hash": token_hash, **_times(ctx)}
        if tenant is None or not await conn.affected(statements.take_link, tenant_id=tenant.id, **taken):
            raise TenantLinkInvalidError
        session = await begin_session(conn, ctx, tenant, by="sign-in link")
    return Admitted(session, new_mark(ctx, tenant, None))


def _times(ctx: Context) -> dict[str, datetime]:
    """What the end of a link is compared with."""
    return good_at(ctx.now(), ctx.runtime.settings.tenant_sign_in_link_seconds)


def front_end_url(settings: Settings) -> str:
    """Where the tenants' front end signs in: as configured, or at the first allowed origin."""
    origin = settings.allowed_origins[0] if settings.allowed_origins else settings.public_url
    return settings.tenant_sign_in_url or f"{origin.rstrip('/')}/login"
