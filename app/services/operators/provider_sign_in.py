"""Signing in with the organisation's identity provider: who is let in, as what, and from which browser."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import structlog
from sqlalchemy.exc import IntegrityError

from app.access.identity_provider import Attempt
from app.access.permissions import Role
from app.context import Actor, Context
from app.database.connections import WriteConnection
from app.database.failures import violated_constraint
from app.errors import OperatorBoundError, OperatorNotAllowedError, SignInFailedError, ValidationError
from app.services.operators import accounts
from app.services.operators.accounts import Account, Subject
from app.services.operators.emails import count_attempt, read_address
from app.services.operators.sessions import SignedIn, begin_session
from app.settings import Settings
from sql.statements import operators as statements

# Seconds that somebody has to identify themselves at the provider.
ATTEMPT_SECONDS = 600
PURPOSE = "sign-in attempt"

log = structlog.get_logger(__name__)


class Started(NamedTuple):
    """Where to send the browser, and the sealed cookie that it brings back."""

    address: str
    cookie: str


async def start(ctx: Context) -> Started:
    """Begin an attempt; raises SignInUnavailableError when no provider is set up, or it does not answer."""
    attempt = Attempt.new()
    address = await ctx.runtime.identity_provider.address(attempt)
    until = ctx.runtime.clock.timestamp() + ATTEMPT_SECONDS
    kept = orjson.dumps([attempt.state, attempt.nonce, attempt.verifier, until])
    return Started(address, urlsafe_b64encode(ctx.runtime.keys.seal_cookie(kept, PURPOSE)).decode())


async def finish(ctx: Context, *, cookie: str | None, said: Mapping[str, str]) -> SignedIn:
    """Begin a session for whom the provider has sent back, if this browser was sent there and they are let in.

    ``said`` is the query of the callback. Raises SignInFailedError, OperatorNotAllowedError, SignInUnavailableError,
    RateLimitedError.
    """
    attempt = _attempt(ctx, cookie)
    if attempt is None:
        raise SignInFailedError(reason="it was not asked for by this browser, or too long ago")
    if not hmac.compare_digest(said.get("state", "").encode(), attempt.state.encode()):
        raise SignInFailedError(reason="it belongs to another attempt")
    await count_attempt(ctx, "sign-in by provider")
    if "error" in said or not said.get("code"):
        raise SignInFailedError(reason="the provider has refused")
    claims = await ctx.runtime.identity_provider.claims(attempt, said["code"])
    email = _email(claims)
    role = _role(ctx.runtime.settings, claims, email)
    return await _let_in(ctx, claims, email, role)


def _attempt(ctx: Context, cookie: str | None) -> Attempt | None:
    """The attempt that this browser has begun, unless that was too long ago."""
    try:
        sealed = urlsafe_b64decode((cookie or "").encode())
    except ValueError:
        return None
    kept = ctx.runtime.keys.open_cookie(sealed, PURPOSE)
    if kept is None:
        return None
    state, nonce, verifier, until = orjson.loads(kept)
    return Attempt(state, nonce, verifier) if ctx.runtime.clock.timestamp() < until else None


def _email(claims: Mapping[str, Any]) -> str:
    """The address that the provider vouches for."""
    said = claims.get("email")
    try:
        email = read_address(said if isinstance(said, str) else "")
    except ValidationError:
        raise OperatorNotAllowedError(email="without a usable e-mail address") from None
    # Some say it in words. Who says nothing may let anybody write any address into their profile.
    if claims.get("email_verified") not in (True, "true"):
        raise _not_allowed(email, "unverified")
    return email


def _role(settings: Settings, claims: Mapping[str, Any], email: str) -> Role | None:
    """The role to have from now on, None to keep the one that an account has; raises OperatorNotAllowedError.

    Where a claim names roles, the provider decides at every sign-in; otherwise the default is for new accounts.
    """
    if settings.oidc_role_claim:
        named = claims.get(settings.oidc_role_claim)
        names = {str(name) for name in (named if isinstance(named, list) else [named])}
        # From the most to the least.
        for role in Role:
            if role.value in names:
                return role
    allowed_emails = {allowed.lower() for allowed in settings.oidc_allowed_emails}
    allowed_domains = {domain.lower().removeprefix("@") for domain in settings.oidc_allowed_domains}
    is_listed = email in allowed_emails or email.rpartition("@")[2] in allowed_domains
    if not is_listed or not settings.oidc_default_role:
        raise _not_allowed(email, "not listed")
    return Role(settings.oidc_default_role) if settings.oidc_role_claim else None


def _not_allowed(email: str, reason: str) -> OperatorNotAllowedError:
    log.warning("operator_not_allowed", email=email, reason=reason)
    return OperatorNotAllowedError(email=email)


def _name(claims: Mapping[str, Any]) -> str | None:
    told = str(claims.get("name") or claims.get("preferred_username") or "").replace("\x00", "").strip()
    return told[: accounts.MAX_NAME] or None


async def _let_in(ctx: Context, claims: Mapping[str, Any], email: str, role: Role | None) -> SignedIn:
    who = Subject(claims["iss"], claims["sub"])
    try:
        async with ctx.write() as conn:
            account = await _account(conn, ctx, who, email, role, _name(claims))
            signed_in = await begin_session(
                conn, ctx, operator_id=account.id, email=account.email, by="identity provider"
            )
            if signed_in is None:
                raise _not_allowed(email, "disabled")
    except IntegrityError as failure:
        if violated_constraint(failure) != "uq_operators_oidc_subject":
            raise
        # Two sign-ins of one person at the same moment, by two addresses: one of them has bound the person.
        raise SignInFailedError(reason="the same person signs in by another address at this moment") from None
    return signed_in


async def _account(
    conn: WriteConnection, ctx: Context, who: Subject, email: str, role: Role | None, name: str | None
) -> Account:
    """The account of a person, as the provider describes it; the first of an address has it from then on."""
    known = {"oidc_issuer": who.issuer, "oidc_subject": who.subject}
    account = await conn.maybe(statements.operator_by_subject, Account, **known)
    is_bound = False
    if account is None:
        new_role = role or Role(ctx.runtime.settings.oidc_default_role)
        themselves = ctx._replace(actor=Actor("operator", email))
        if await accounts.create(conn, themselves, email=email, role=new_role, name=name, bound_to=who) is None:
            change = {"of_email": email, "new_issuer": who.issuer, "new_subject": who.subject}
            is_bound = await conn.affected(statements.bind_to_subject, **change, now=ctx.now()) > 0
        # Somebody who signs in twice at the same moment may have been bound by the other sign-in.
        account = await conn.maybe(statements.operator_by_subject, Account, **known)
    if account is None:
        log.warning("operator_not_allowed", email=email, reason="bound to somebody else")
        raise OperatorBoundError(email=email)
    told = {"new_role": None if role is None else role.value, "new_name": name, "now": ctx.now()}
    is_changed = await conn.affected(statements.update_from_provider, of_operator_id=account.id, **told) > 0
    if is_bound or is_changed:
        themselves = ctx._replace(actor=Actor("operator", account.email, id=account.id))
        kept = role or Role(account.role)
        await accounts.tell_update(conn, themselves, account.email, kept, who if is_bound else None)
    return account
