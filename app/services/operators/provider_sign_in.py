"""Signing in with the organisation's identity provider: who may sign in, with which role, and from which browser."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import orjson
import structlog
from sqlalchemy.exc import IntegrityError

from app import typed_text
from app.access.claims import claim_at, names_in
from app.access.identity_provider import Attempt
from app.access.permissions import Role
from app.access.provider_words import words_of
from app.context import Actor, Context
from app.database.connections import WriteConnection
from app.database.failures import violated_constraint
from app.errors import (
    AttemptUnknownError,
    OperatorAddressMissingError,
    OperatorBoundError,
    OperatorNotAllowedError,
    OperatorUnverifiedError,
    SignInFailedError,
    ValidationError,
)
from app.services.operators import accounts
from app.services.operators.accounts import Account, Subject
from app.services.operators.emails import count_attempt, read_address
from app.services.operators.sessions import SignedIn, begin_session
from app.settings import Settings
from sql.statements import operators as statements

# Seconds in which a person must have identified themselves at the provider.
ATTEMPT_SECONDS = 600
PURPOSE = "sign-in attempt"
# How many attempts of one browser wait at a time, in as many tabs.
MAX_ATTEMPTS = 5

log = structlog.get_logger(__name__)


class Started(NamedTuple):
    """Where to send the browser, and the sealed cookie of this attempt that it brings back; ``name`` ends its name."""

    address: str
    name: str
    cookie: str


async def start(ctx: Context) -> Started:
    """Begin an attempt; raises SignInUnavailableError when no provider is set up, or it does not answer."""
    attempt = Attempt.new()
    address = await ctx.runtime.identity_provider.address(attempt)
    until = ctx.runtime.clock.timestamp() + ATTEMPT_SECONDS
    content = orjson.dumps([attempt.state, attempt.nonce, attempt.verifier, until])
    sealed = urlsafe_b64encode(ctx.runtime.keys.seal_cookie(content, PURPOSE)).decode()
    return Started(address, attempt_name(attempt.state), sealed)


def attempt_name(state: str) -> str:
    """What tells an attempt's cookie from those of other attempts in the same browser."""
    return hashlib.sha256(state.encode()).hexdigest()[:12]


async def finish(ctx: Context, *, cookies: Collection[str], callback: Mapping[str, str]) -> SignedIn:
    """Begin a session for the person whom the provider has sent back, in the browser that we have sent there.

    ``cookies`` are all that the browser has under the attempt's name, ``callback`` is the query with which the provider
    sends the browser back. Raises SignInFailedError, OperatorNotAllowedError, SignInUnavailableError, RateLimitedError.
    """
    attempts = [attempt for cookie in cookies if (attempt := _attempt(ctx, cookie)) is not None]
    state = callback.get("state", "").encode()
    attempt = next((one for one in attempts if hmac.compare_digest(state, one.state.encode())), None)
    if attempt is None:
        unknown = AttemptUnknownError(reason="it was not asked for by this browser, or too long ago")
        raise _failed(ctx, unknown)
    await count_attempt(ctx, "sign-in by provider")
    if "error" in callback or not callback.get("code"):
        words = words_of(dict(callback), (callback.get("code", ""), callback.get("state", "")))
        log.warning("identity_provider_refused", place="authorization", **words._asdict())
        raise _failed(ctx, SignInFailedError(reason=f"the provider has refused{words.in_brackets}"))
    try:
        claims = await ctx.runtime.identity_provider.claims(attempt, callback["code"])
    except SignInFailedError as failure:
        raise _failed(ctx, failure) from None
    email = _email(claims)
    role = _role(ctx.runtime.settings, claims, email)
    return await _sign_in(ctx, claims, email, role)


def _failed(ctx: Context, failure: SignInFailedError) -> SignInFailedError:
    """The failure, which the log keeps: whoever signs in may not tell anybody."""
    told = {"by": "identity provider", "address": ctx.address, "request_id": ctx.request_id}
    log.warning("operator_sign_in_refused", reason=failure.values["reason"], **told)
    return failure


def attempts_to_forget(ctx: Context, cookies: Mapping[str, str]) -> list[str]:
    """Which attempts of a browser, by the names of their cookies, have ended or are too many, oldest first.

    Each tab has its own, so that one does not spoil the other; a browser must not collect them.
    """
    until = {name: _until(ctx, cookie) for name, cookie in cookies.items()}
    now = ctx.runtime.clock.timestamp()
    by_age = sorted(until, key=lambda name: until[name])
    return [name for place, name in enumerate(by_age) if until[name] <= now or place < len(by_age) - MAX_ATTEMPTS + 1]


def _attempt(ctx: Context, cookie: str) -> Attempt | None:
    """The attempt that this browser has begun, unless that was too long ago."""
    if (opened := _opened(ctx, cookie)) is None:
        return None
    state, nonce, verifier, until = opened
    return Attempt(state, nonce, verifier) if ctx.runtime.clock.timestamp() < until else None


def _until(ctx: Context, cookie: str) -> float:
    opened = _opened(ctx, cookie)
    return 0.0 if opened is None else float(opened[3])


def _opened(ctx: Context, cookie: str) -> list[Any] | None:
    try:
        sealed = urlsafe_b64decode(cookie.encode())
    except ValueError:
        return None
    content = ctx.runtime.keys.open_cookie(sealed, PURPOSE)
    return None if content is None else orjson.loads(content)


def _email(claims: Mapping[str, Any]) -> str:
    """The address that the provider vouches for."""
    claim = claims.get("email")
    try:
        email = read_address(claim if isinstance(claim, str) else "")
    except ValidationError:
        log.warning("operator_not_allowed", reason="no usable e-mail address")
        raise OperatorAddressMissingError from None
    # Some providers send the text "true". One without the claim may let anybody write any address into their profile.
    if claims.get("email_verified") not in (True, "true"):
        log.warning("operator_not_allowed", email=email, reason="unverified")
        raise OperatorUnverifiedError(email=email)
    return email


def _role(settings: Settings, claims: Mapping[str, Any], email: str) -> Role | None:
    """The role of the account from now on, None to keep the one that it has; raises OperatorNotAllowedError.

    Where a claim names roles, the provider decides at every sign-in; else only new accounts get the default role.
    """
    if settings.oidc_role_claim:
        names = names_in(claim_at(claims, settings.oidc_role_claim))
        # The role with the most permissions first.
        for role in Role:
            if role.value in names:
                return role
    allowed_emails = {allowed.lower() for allowed in settings.oidc_allowed_emails}
    allowed_domains = {domain.lower().removeprefix("@") for domain in settings.oidc_allowed_domains}
    is_listed = email in allowed_emails or email.rpartition("@")[2] in allowed_domains
    if not is_listed or not settings.oidc_default_role:
        no_role = f"no role in {settings.oidc_role_claim}, and " if settings.oidc_role_claim else ""
        raise _not_allowed(email, f"{no_role}not listed")
    return Role(settings.oidc_default_role) if settings.oidc_role_claim else None


def _not_allowed(email: str, reason: str) -> OperatorNotAllowedError:
    log.warning("operator_not_allowed", email=email, reason=reason)
    return OperatorNotAllowedError(email=email)


def _name(claims: Mapping[str, Any]) -> str | None:
    """What the provider calls the person; None for what is no name, which is no reason to refuse them."""
    name = typed_text.stripped(str(claims.get("name") or claims.get("preferred_username") or ""))
    return name[: accounts.MAX_NAME] if typed_text.fault_of_name(name) is None else None


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
