"""Signing in without an identity provider: by a password, which a one-time link lets its bearer choose."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from app.context import Actor, Context
from app.database.connections import WriteConnection
from app.errors import CredentialsInvalidError, SignInLinkInvalidError, ValidationError
from app.events import Event, EventType, record
from app.services.operators.emails import count_attempt
from app.services.operators.sessions import SignedIn, begin_session
from sql.statements import operators as statements

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256

log = structlog.get_logger(__name__)


class Credentials(NamedTuple):
    """An account and the hash of its password, if it has one."""

    id: int
    email: str
    password_hash: str | None
    disabled_at: datetime | None


class LinkBearer(NamedTuple):
    """Whom a sign-in link was made for."""

    operator_id: int
    email: str


async def sign_in(ctx: Context, *, email: str, password: str) -> SignedIn:
    """Begin a session for the right password, unless it was replaced while it was being checked.

    Raises CredentialsInvalidError in the same words and the same time for a wrong password, an unknown or a disabled
    account and one without a password; RateLimitedError; AccountRateLimitedError; OverloadedError.
    """
    address = email.strip().lower()
    await count_attempt(ctx, "sign-in", account=address)
    found = None
    if "\x00" not in address:
        async with ctx.read() as conn:
            found = await conn.maybe(statements.password_by_email, Credentials, email=address)
    stored = None if found is None else found.password_hash
    is_right = await ctx.runtime.passwords.verify(stored, password[: MAX_CHARACTERS + 1])
    if not is_right or found is None or stored is None or found.disabled_at is not None:
        raise _refused(ctx)
    rehashed = await ctx.runtime.passwords.hash(password) if ctx.runtime.passwords.is_outdated(stored) else None
    async with ctx.write() as conn:
        signed_in = await begin_session(
            conn, ctx, operator_id=found.id, email=found.email, by="password", checked_hash=stored
        )
        if rehashed is not None:
            change = {"of_operator_id": found.id, "of_password_hash": stored, "new_password_hash": rehashed}
            await conn.affected(statements.rehash_password, **change)
    if signed_in is None:
        raise _refused(ctx)
    return signed_in


def _refused(ctx: Context) -> CredentialsInvalidError:
    # Not with the address: people type passwords into the wrong field.
    log.warning("operator_sign_in_refused", address=ctx.address, request_id=ctx.request_id)
    return CredentialsInvalidError()


def check_password(password: str) -> None:
    """Raise ValidationError naming the field ``password`` unless it is one that may be chosen."""
    if MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        return
    message = f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters."
    raise ValidationError.of("password", message, kind="password_length")


async def new_link(conn: WriteConnection, ctx: Context, operator_id: int) -> str:
    """The token of a new sign-in link, in the caller's transaction; earlier links of the operator end."""
    token = secrets.token_urlsafe(32)
    now = ctx.now()
    await conn.affected(statements.delete_sign_in_links_of_operator, operator_id=operator_id)
    await conn.affected(
        statements.insert_sign_in_link,
        token_hash=ctx.runtime.keys.token_hash("sign-in link", token),
        operator_id=operator_id,
        expires_at=now + timedelta(seconds=ctx.runtime.settings.sign_in_link_seconds),
        created_at=now,
    )
    return token


async def link_bearer(ctx: Context, token: str) -> LinkBearer:
    """Whom a sign-in link was made for, without using it; raises SignInLinkInvalidError."""
    token_hash = ctx.runtime.keys.token_hash("sign-in link", token)
    async with ctx.read() as conn:
        bearer = await conn.maybe(statements.sign_in_link, LinkBearer, token_hash=token_hash, now=ctx.now())
    if bearer is None:
        raise SignInLinkInvalidError
    return bearer


async def use_link(ctx: Context, *, token: str, password: str) -> SignedIn:
    """Give the link's account this password and begin a session; the link and the account's other sessions end.

    Raises SignInLinkInvalidError, also for the second of two at once; ValidationError; RateLimitedError;
    OverloadedError.
    """
    await count_attempt(ctx, "sign-in link")
    check_password(password)
    bearer = await link_bearer(ctx, token)
    hashed = await ctx.runtime.passwords.hash(password)
    now = ctx.now()
    token_hash = ctx.runtime.keys.token_hash("sign-in link", token)
    async with ctx.write() as conn:
        if await conn.maybe(statements.consume_sign_in_link, int, token_hash=token_hash, now=now) is None:
            raise SignInLinkInvalidError
        await replace_password(conn, ctx, bearer, hashed)
        signed_in = await begin_session(
            conn, ctx, operator_id=bearer.operator_id, email=bearer.email, by="sign-in link"
        )
        if signed_in is None:
            raise SignInLinkInvalidError
    return signed_in


async def replace_password(conn: WriteConnection, ctx: Context, bearer: LinkBearer, hashed: str) -> None:
    """Store a password's hash in the caller's transaction, and end what the old one has begun."""
    now = ctx.now()
    change = {"of_operator_id": bearer.operator_id, "new_password_hash": hashed, "now": now}
    if await conn.maybe(statements.set_password, str, **change) is None:
        raise SignInLinkInvalidError
    await conn.affected(statements.end_sessions_of_operator, operator_id=bearer.operator_id)
    # Whoever has the link is its owner; at the command line somebody else sets the password.
    who = ctx._replace(actor=_self(bearer)) if ctx.actor.type == "visitor" else ctx
    title = f"Password of {bearer.email} set"
    await record(conn, who, Event(EventType.OPERATOR_UPDATED, title, metadata={"email": bearer.email}))


def _self(bearer: LinkBearer) -> Actor:
    return Actor("operator", bearer.email, id=bearer.operator_id)
