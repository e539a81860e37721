"""Signing in with a one-time password: asking for one, and turning it into a session."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from app.clock import good_at
from app.context import Context
from app.errors import OneTimePasswordInvalidError
from app.services.directory.lookup import Tenant
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from app.services.tenants.known_browsers import KnownBrowser, Mark, known_browser, new_mark
from app.services.tenants.sessions import SignedIn, begin_session
from app.services.tenants.sign_in_limits import count_guess, count_request, give_guess_back
from sql.statements import sign_in as statements
from sql.statements import tenants

PASSWORD_SENT = "If this name is known, a code has been sent to the address on record. It may take a minute."  # noqa: S105 - says nothing


@dataclass(frozen=True, slots=True)
class PasswordRequested:
    """The same for any slug; ``otp_code`` is always empty, ``expires_in`` counts seconds."""

    otp_code: str
    expires_in: int
    message: str


class Admitted(NamedTuple):
    """A new session, and the cookie by which its browser is known from then on."""

    session: SignedIn
    mark: Mark


class _Challenge(NamedTuple):
    tenant_id: int
    code_hash: bytes


async def request_password(ctx: Context, tenant_slug: str, marks: Collection[str] = ()) -> PasswordRequested:
    """Have a one-time password sent to a tenant; the answer is the same for any slug and any tenant.

    It takes as long, too: whether there is such a tenant is read only when the message is sent. ``marks`` are what the
    browser shows to be known again. Raises RateLimitedError, in the same words whether a tenant has the slug or not.
    """
    browser = await known_browser(ctx, tenant_slug, marks)
    async with ctx.write() as conn:
        refusal = await count_request(conn, ctx, tenant_slug, browser)
        if refusal is None:
            delivery_id = await request_delivery(conn, "one_time_password", tenant_slug, at=ctx.now())
    if refusal is not None:
        raise refusal
    enqueue_deliveries(ctx, [delivery_id])
    return PasswordRequested("", ctx.runtime.settings.one_time_password_seconds, PASSWORD_SENT)


async def verify_password(ctx: Context, tenant_slug: str, password: str, marks: Collection[str] = ()) -> Admitted:
    """Turn a tenant's newest one-time password into a session, from wherever it was asked for.

    Every guess is counted, and the count committed, before the password is compared; a right one is given back.
    ``marks`` are what the browser shows to be known again. Raises OneTimePasswordInvalidError for a password that is
    wrong, too old or used, for one that was guessed at too often from here, and for an unknown tenant;
    RateLimitedError for too many guesses.
    """
    browser = await known_browser(ctx, tenant_slug, marks)
    challenge = None
    async with ctx.write() as conn:
        if (refusal := await count_guess(conn, ctx, tenant_slug, browser)) is None:
            times = good_at(ctx.now(), ctx.runtime.settings.one_time_password_seconds)
            challenge = await conn.maybe(statements.open_challenge, _Challenge, tenant_slug=tenant_slug, **times)
    if refusal is not None:
        raise refusal
    # Where there is no challenge, a comparison is made as well: the answer must take as long.
    compared = challenge or _Challenge(0, bytes(32))
    is_right = hmac.compare_digest(
        ctx.runtime.keys.one_time_password_hash(compared.tenant_id, password), bytes(compared.code_hash)
    )
    if challenge is None or not is_right:
        raise OneTimePasswordInvalidError
    return await _admit(ctx, tenant_slug, challenge, browser)


async def _admit(ctx: Context, tenant_slug: str, challenge: _Challenge, browser: KnownBrowser | None) -> Admitted:
    """Spend the challenge on a session; of two right guesses at the same moment one gets it."""
    async with ctx.write() as conn:
        tenant = await conn.maybe(tenants.by_slug_share_locked, Tenant, tenant_slug=tenant_slug)
        # Another tenant may have the slug by now.
        if tenant is None or tenant.id != challenge.tenant_id:
            raise OneTimePasswordInvalidError
        if not await conn.affected(statements.take_challenge, **challenge._asdict()):
            raise OneTimePasswordInvalidError
        session = await begin_session(conn, ctx, tenant, by="one-time password")
        await give_guess_back(conn, ctx, tenant_slug, browser)
    return Admitted(session, new_mark(ctx, tenant, browser))
