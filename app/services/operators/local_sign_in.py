"""Signing in without an identity provider: by a password, which its operator chooses by a one-time link."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from app import typed_text
from app.clock import good_at
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


class LinkOwner(NamedTuple):
    """The operator for whom a sign-in link was made."""

    operator_id: int
    email: str


async def sign_in(ctx: Context, *, email: str, password: str) -> SignedIn:
    """Begin a session for the right password, unless it was replaced while it was being checked.

    Raises CredentialsInvalidError in the same words and the same time for a wrong password, an unknown or a disabled
    account and one without a password; RateLimitedError; AccountRateLimitedError; OverloadedError.
    """
    address = typed_text.stripped(email).lower()
    await count_attempt(ctx, "sign-in", account=address)
    account = None
    if "\x00" not in address:
        async with ctx.read() as conn:
            account = await conn.maybe(statements.password_by_email, Credentials, email=address)
    password_hash = None if account is None else account.password_hash
    is_right = await ctx.runtime.passwords.verify(password_hash, password[: MAX_CHARACTERS + 1])
    if not is_right or account is None or password_hash is None or account.disabled_at is not None:
        raise _refusal(ctx)
    is_outdated = ctx.runtime.passwords.is_outdated(password_hash)
    new_hash = await ctx.runtime.passwords.hash(password) if is_outdated else None
    async with ctx.write() as conn:
        signed_in = await begin_session(
            conn, ctx, operator_id=account.id, email=account.email, by="password", checked_hash=password_hash
        )
        if new_hash is not None:
            change = {
                "of_operator_id": account.id,
                "of_password_hash": password_hash,
                "new_password_hash": new_hash,
            }
            await conn.affected(statements.rehash_password, **change)
    if signed_in is None:
        raise _refusal(ctx)
    return signed_in


def _refusal(ctx: Context) -> CredentialsInvalidError:
    # Not with the address: people type passwords into the wrong field.
    log.warning("operator_sign_in_refused", address=ctx.address, request_id=ctx.request_id)
    return CredentialsInvalidError()


def check_password(password: str) -> None:
    """Raise ValidationError naming the field ``password`` unless the password may be chosen."""
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


async def link_owner(ctx: Context, token: str) -> LinkOwner:
    """The operator for whom a sign-in link was made; the link stays unused. Raises SignInLinkInvalidError."""
    token_hash = ctx.runtime.keys.token_hash("sign-in link", token)
    async with ctx.read() as conn:
        owner = await conn.maybe(statements.sign_in_link, LinkOwner, token_hash=token_hash, **_good_at(ctx))
    if owner is None:
        raise SignInLinkInvalidError
    return owner


async def use_link(ctx: Context, *, token: str, password: str) -> SignedIn:
    """Give the link's account this password and begin a session; the link and the account's other sessions end.

    Raises SignInLinkInvalidError, also for the second of two at once; ValidationError; RateLimitedError;
    OverloadedError.
    """
    await count_attempt(ctx, "sign-in link")
    check_password(password)
    owner = await link_owner(ctx, token)
    password_hash = await ctx.runtime.passwords.hash(password)
    token_hash = ctx.runtime.keys.token_hash("sign-in link", token)
    async with ctx.write() as conn:
        if await conn.maybe(statements.consume_sign_in_link, int, token_hash=token_hash, **_good_at(ctx)) is None:
            raise SignInLinkInvalidError
        await replace_password(conn, ctx, owner, password_hash)
        signed_in = await begin_session(conn, ctx, operator_id=owner.operator_id, email=owner.email, by="sign-in link")
        if signed_in is None:
            raise SignInLinkInvalidError
    return signed_in


async def replace_password(conn: WriteConnection, ctx: Context, owner: LinkOwner, password_hash: str) -> None:
    """Store a password's hash in the caller's transaction, and end the sessions that the old password has begun."""
    now = ctx.now()
    change = {"of_operator_id": owner.operator_id, "new_password_hash": password_hash, "now": now}
    if await conn.maybe(statements.set_password, str, **change) is None:
        raise SignInLinkInvalidError
    await conn.affected(statements.end_sessions_of_operator, operator_id=owner.operator_id)
    # Whoever has the link is its owner; at the command line somebody else sets the password.
    acting = ctx._replace(actor=_self(owner)) if ctx.actor.type == "visitor" else ctx
    title = f"Password of {owner.email} set"
    await record(conn, acting, Event(EventType.OPERATOR_UPDATED, title, metadata={"email": owner.email}))


def _good_at(ctx: Context) -> dict[str, datetime]:
    return good_at(ctx.now(), ctx.runtime.settings.sign_in_link_seconds)


def _self(owner: LinkOwner) -> Actor:
    return Actor("operator", owner.email, id=owner.operator_id)
