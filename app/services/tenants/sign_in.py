"""Signing in with a one-time password: asking for one, and turning it into a session."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from app.clock import CLOCKS_DIFFER
from app.context import Actor, Context
from app.errors import OneTimePasswordInvalidError, RateLimitedError
from app.events import Event, EventType, record
from app.limits.addresses import network_of
from app.limits.exact_limits import ExactLimit, count_hit
from app.services.directory.lookup import Tenant
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from app.services.tenants.sessions import SignedIn
from sql.statements import sign_in as statements
from sql.statements import tenants

HOUR = 3600
TEN_MINUTES = 600
TOKEN_BYTES = 32
PASSWORD_SENT = "If this name is known, a code has been sent to the address on record. It may take a minute."  # noqa: S105 - says nothing


@dataclass(frozen=True, slots=True)
class PasswordRequested:
    """The same for any slug; ``otp_code`` is always empty, ``expires_in`` counts seconds."""

    otp_code: str
    expires_in: int
    message: str


class _Challenge(NamedTuple):
    tenant_id: int
    code_hash: bytes


async def request_password(ctx: Context, tenant_slug: str) -> PasswordRequested:
    """Have a one-time password sent to a tenant; the answer is the same for any slug and any tenant.

    It takes as long, too: whether there is such a tenant is read only when the message is sent. Raises
    RateLimitedError for too many requests by slug, whether a tenant has it or not, or by address.
    """
    settings, now = ctx.runtime.settings, ctx.now()
    by_address = ExactLimit("passwords of an address", settings.one_time_passwords_per_address, TEN_MINUTES)
    by_slug = ExactLimit("passwords of a tenant", settings.one_time_passwords_per_tenant, HOUR)
    delivery_id = None
    async with ctx.write() as conn:
        wait = await count_hit(conn, ctx, by_address, network_of(ctx.address))
        if wait is None and (wait := await count_hit(conn, ctx, by_slug, tenant_slug)) is None:
            delivery_id = await request_delivery(conn, "one_time_password", tenant_slug, at=now)
    if delivery_id is None:
        raise RateLimitedError(retry_after=wait)
    enqueue_deliveries(ctx, [delivery_id])
    return PasswordRequested("", settings.one_time_password_seconds, PASSWORD_SENT)


async def verify_password(ctx: Context, tenant_slug: str, password: str) -> SignedIn:
    """Turn a tenant's newest one-time password into a session.

    Every guess is counted, and the count committed, before the password is compared. Raises
    OneTimePasswordInvalidError for a password that is wrong, too old or used, for one that was guessed at too often,
    and for an unknown tenant; RateLimitedError for too many guesses by address.
    """
    settings = ctx.runtime.settings
    limit = ExactLimit("guesses of an address", settings.one_time_password_guesses_per_address, TEN_MINUTES)
    challenge = None
    async with ctx.write() as conn:
        if (wait := await count_hit(conn, ctx, limit, network_of(ctx.address))) is None:
            guess = {"tenant_slug": tenant_slug, "max_attempts": settings.one_time_password_attempts}
            now = ctx.now()
            latest = now + timedelta(seconds=settings.one_time_password_seconds) + CLOCKS_DIFFER
            challenge = await conn.maybe(statements.count_guess, _Challenge, **guess, now=now, latest=latest)
    if wait is not None:
        raise RateLimitedError(retry_after=wait)
    # Where there is no challenge, a comparison is made as well: the answer must take as long.
    compared = challenge or _Challenge(0, bytes(32))
    is_right = hmac.compare_digest(
        ctx.runtime.keys.one_time_password_hash(compared.tenant_id, password), bytes(compared.code_hash)
    )
    if challenge is None or not is_right:
        raise OneTimePasswordInvalidError
    return await _open_session(ctx, tenant_slug, challenge)


async def _open_session(ctx: Context, tenant_slug: str, challenge: _Challenge) -> SignedIn:
    """Spend the challenge on a session; of two right guesses at the same moment one gets it."""
    runtime, now = ctx.runtime, ctx.now()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = now + timedelta(seconds=runtime.settings.session_seconds)
    async with ctx.write() as conn:
        tenant = await conn.maybe(tenants.by_slug_share_locked, Tenant, tenant_slug=tenant_slug)
        # Another tenant may have the slug by now.
        if tenant is None or tenant.id != challenge.tenant_id:
            raise OneTimePasswordInvalidError
        if not await conn.affected(statements.take_challenge, **challenge._asdict()):
            raise OneTimePasswordInvalidError
        row = {
            "tenant_id": tenant.id,
            "token_hash": runtime.keys.token_hash("tenant session", token),
            "last_activity": now,
            "expires_at": expires_at,
            "created_at": now,
        }
        session_id = await conn.one(statements.insert_session, int, **row)
        as_tenant = ctx._replace(actor=Actor("tenant", tenant.name, tenant.id, session_id=session_id))
        metadata = {"session_id": session_id}
        await record(
            conn,
            as_tenant,
            Event(EventType.SESSION_CREATED, f"Session of {tenant.slug} begun", tenant_id=tenant.id, metadata=metadata),
            Event(EventType.USER_LOGIN, f"{tenant.slug} signed in", tenant_id=tenant.id, metadata=metadata),
        )
    return SignedIn(token, expires_at, tenant.id, tenant.slug)
