"""Signing in with the organisation's identity provider: who may sign in, with which role, and from which browser."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
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

# Seconds in which a person must have identified themselves at the provider.
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
    content = orjson.dumps([attempt.state, attempt.nonce, attempt.verifier, until])
    return Started(address, urlsafe_b64encode(ctx.runtime.keys.seal_cookie(content, PURPOSE)).decode())


async def finish(ctx: Context, *, cookies: Collection[str], callback: Mapping[str, str]) -> SignedIn:
    """Begin a session for the person whom the provider has sent back, in the browser that we have sent there.

    ``cookies`` are all that the browser has under the attempt's name, ``callback`` is the query with which the provider
    sends the browser back. Raises SignInFailedError, OperatorNotAllowedError, SignInUnavailableError, RateLimitedError.
    """
    attempts = [attempt for cookie in cookies if (attempt := _attempt(ctx, cookie)) is not None]
    if not attempts:
        raise SignInFailedError(reason="it was not asked for by this browser, or too long ago")
    state = callback.get("state", "").encode()
    attempt = next((one for one in attempts if hmac.compare_digest(state, one.state.encode())), None)
    if attempt is None:
        raise SignInFailedError(reason="it belongs to another attempt")
    await count_attempt(ctx, "sign-in by provider")
    if "error" in callback or not callback.get("code"):
        raise SignInFailedError(reason="the provider has refused")
    claims = await ctx.runtime.identity_provider.claims(attempt, callback["code"])
    email = _email(claims)
    role = _role(ctx.runtime.settings, claims, email)
    return await _sign_in(ctx, claims, email, role)


def _attempt(ctx: Context, cookie: str) -> Attempt | None:
    """The attempt that this browser has begun, unless that was too long ago."""
    try:
        sealed = urlsafe_b64decode(cookie.encode())
    except ValueError:
        return None
    content = ctx.runtime.keys.open_cookie(sealed, PURPOSE)
    if content is None:
        return None
    state, nonce, verifier, until = orjson.loads(content)
    return Attempt(state, nonce, verifier) if ctx.runtime.clock.timestamp() < until else None


def _email(claims: Mapping[str, Any]) -> str:
    """The address that the provider vouches for."""
    claim = claims.get("email")
    try:
        email = read_address(claim if isinstance(claim, str) else "")
    except ValidationError:
        raise OperatorNotAllowedError(email="without a usable e-mail address") from None
    # Some providers send the text "true". One without the claim may let anybody write any address into their profile.
    if claims.get("email_verified") not in (True, "true"):
        raise _not_allowed(email, "unverified")
    return email


def _role(settings: Settings, claims: Mapping[str, Any], email: str) -> Role | None:
    """The role of the account from now on, None to keep the one that it has; raises OperatorNotAllowedError.

    Where a claim names roles, the provider decides at every sign-in; else only new accounts get the default role.
    """
    if settings.oidc_role_claim:
        claim = claims.get(settings.oidc_role_claim)
        names = {str(name) for name in (claim if isinstance(claim, list) else [claim])}
        # The role with the most permissions first.
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
    name = str(claims.get("name") or claims.get("preferred_username") or "").replace("\x00", "").strip()
    return name[: accounts.MAX_NAME] or None


async def _sign_in(ctx: Context, claims: Mapping[str, Any], email: str, role: Role | None) -> SignedIn:
    person = Subject(claims["iss"], claims["sub"])
    try:
        async with ctx.write() as conn:
            account = await _account(conn, ctx, person, email, role, _name(claims))
            signed_in = await begin_session(
                conn, ctx, operator_id=account.id, email=account.email, by="identity provider"
            )
            if signed_in is None:
                raise _not_allowed(email, "disabled")
    except IntegrityError as failure:
        if violated_constraint(failure) != "uq_operators_oidc_subject":
            raise
        # One person signs in twice at the same moment, by two addresses: the other sign-in has bound the person.
        raise SignInFailedError(reason="the same person signs in by another address at this moment") from None
    return signed_in


async def _account(
    conn: WriteConnection, ctx: Context, person: Subject, email: str, role: Role | None, name: str | None
) -> Account:
    """The person's account, updated by the claims; the first person of an address is bound to its account."""
    subject = {"oidc_issuer": person.issuer, "oidc_subject": person.subject}
    account = await conn.maybe(statements.operator_by_subject, Account, **subject)
    is_bound = False
    if account is None:
        new_role = role or Role(ctx.runtime.settings.oidc_default_role)
        as_person = ctx._replace(actor=Actor("operator", email))
        if await accounts.create(conn, as_person, email=email, role=new_role, name=name, bound_to=person) is None:
            binding = {"of_email": email, "new_issuer": person.issuer, "new_subject": person.subject}
            is_bound = await conn.affected(statements.bind_to_subject, **binding, now=ctx.now()) > 0
        # Where a person signs in twice at the same moment, the other sign-in may have bound them.
        account = await conn.maybe(statements.operator_by_subject, Account, **subject)
    if account is None:
        log.warning("operator_not_allowed", email=email, reason="bound to somebody else")
        raise OperatorBoundError(email=email)
    change = {"new_role": None if role is None else role.value, "new_name": name, "now": ctx.now()}
    is_changed = await conn.affected(statements.update_from_provider, of_operator_id=account.id, **change) > 0
    if is_bound or is_changed:
        as_person = ctx._replace(actor=Actor("operator", account.email, id=account.id))
        role_now = role or Role(account.role)
        await accounts.record_update(conn, as_person, account.email, role_now, person if is_bound else None)
    return account
