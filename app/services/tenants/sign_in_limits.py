"""How often a tenant's one-time passwords are sent and guessed at: by strangers, by place, and by known browsers.

Strangers share a total for each tenant, of which one address has only a part. A browser that is known counts for itself
alone: no stranger can use up what it has. Everything is counted by what was typed, whether such a tenant exists or not,
and in the same order, so that requests at the same moment do not wait for each other in a circle.
"""

from __future__ import annotations

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import OneTimePasswordInvalidError, PortalError, RateLimitedError, TenantRateLimitedError
from app.limits.addresses import network_of, site_of
from app.limits.exact_limits import ExactLimit, count_hit, forget_hits, give_hit_back
from app.services.tenants.known_browsers import KnownBrowser

TEN_MINUTES = 600
HOUR = 3600
DAY = 86400

# What is counted, and of whom.
_Counted = tuple[ExactLimit, str]


async def count_request(
    conn: WriteConnection, ctx: Context, tenant_slug: str, browser: KnownBrowser | None
) -> PortalError | None:
    """Count a request for a one-time password in the caller's transaction; answers why it is refused, if it is.

    One that is granted lets this place or browser guess anew.
    """
    settings = ctx.runtime.settings
    if browser is None:
        by_address = ExactLimit("passwords of an address", settings.one_time_passwords_per_address, TEN_MINUTES)
        if (wait := await count_hit(conn, ctx, by_address, network_of(ctx.address))) is not None:
            return RateLimitedError(retry_after=wait)
    shares, total = _requests(ctx, tenant_slug, browser)
    if (wait := await count_hit(conn, ctx, *shares)) is not None:
        return RateLimitedError(retry_after=wait)
    if (wait := await count_hit(conn, ctx, *total)) is not None:
        return TenantRateLimitedError(retry_after=wait)
    await forget_hits(conn, ctx, *_guesses_at_a_code(ctx, tenant_slug, browser))
    return None


async def count_guess(
    conn: WriteConnection, ctx: Context, tenant_slug: str, browser: KnownBrowser | None
) -> PortalError | None:
    """Count a guess in the caller's transaction, before it is compared; answers why it is refused, if it is."""
    settings = ctx.runtime.settings
    if browser is None:
        by_address = ExactLimit("guesses of an address", settings.one_time_password_guesses_per_address, TEN_MINUTES)
        if (wait := await count_hit(conn, ctx, by_address, network_of(ctx.address))) is not None:
            return RateLimitedError(retry_after=wait)
    if await count_hit(conn, ctx, *_guesses_at_a_code(ctx, tenant_slug, browser)) is not None:
        # The code is used up for this place; a new one is asked for, as after any wrong code.
        return OneTimePasswordInvalidError()
    for counted in _guesses(ctx, tenant_slug, browser):
        if (wait := await count_hit(conn, ctx, *counted)) is not None:
            return TenantRateLimitedError(retry_after=wait)
    return None


async def give_guess_back(conn: WriteConnection, ctx: Context, tenant_slug: str, browser: KnownBrowser | None) -> None:
    """A guess was right, and is none any more, of this tenant's; what an address may guess at all tenants stays."""
    await forget_hits(conn, ctx, *_guesses_at_a_code(ctx, tenant_slug, browser))
    for counted in _guesses(ctx, tenant_slug, browser):
        await give_hit_back(conn, ctx, *counted)


def _requests(ctx: Context, tenant_slug: str, browser: KnownBrowser | None) -> tuple[_Counted, _Counted]:
    """The share of whoever asks, and the total that it is a share of."""
    settings = ctx.runtime.settings
    in_all = settings.one_time_passwords_per_tenant
    if browser is None:
        of_a_place = settings.one_time_passwords_per_tenant_and_address
        return (
            (ExactLimit("passwords of a tenant by address", of_a_place, HOUR), _place(ctx, tenant_slug)),
            (ExactLimit("passwords of a tenant", in_all, HOUR), tenant_slug),
        )
    return (
        (ExactLimit("passwords of a browser", settings.one_time_passwords_per_browser, HOUR), _name(browser)),
        (ExactLimit("passwords of known browsers", in_all, HOUR), str(browser.tenant_id)),
    )


def _guesses(ctx: Context, tenant_slug: str, browser: KnownBrowser | None) -> tuple[_Counted, ...]:
    settings = ctx.runtime.settings
    if browser is not None:
        limit = ExactLimit("guesses of a browser", settings.one_time_password_guesses_per_browser, DAY)
        return ((limit, _name(browser)),)
    of_a_place = settings.one_time_password_guesses_per_tenant_and_address
    return (
        (ExactLimit("guesses at a tenant by address", of_a_place, DAY), _place(ctx, tenant_slug)),
        (ExactLimit("guesses at a tenant", settings.one_time_password_guesses_per_tenant, DAY), tenant_slug),
    )


def _guesses_at_a_code(ctx: Context, tenant_slug: str, browser: KnownBrowser | None) -> _Counted:
    settings = ctx.runtime.settings
    limit = ExactLimit("guesses at a code", settings.one_time_password_attempts, settings.one_time_password_seconds)
    return limit, _place(ctx, tenant_slug) if browser is None else _name(browser)


def _place(ctx: Context, tenant_slug: str) -> str:
    """A tenant and where somebody asks from; a slug may hold anything, and a site holds no blank."""
    return f"from {site_of(ctx.address).replace(' ', '_')} at {tenant_slug}"


def _name(browser: KnownBrowser) -> str:
    return f"browser {browser.name} of {browser.tenant_id}"
