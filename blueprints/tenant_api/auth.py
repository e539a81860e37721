"""Signing in with a one-time password, keeping the session alive, and signing out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from app import errors
from app.access.callers import ANYONE, TENANT, TENANT_TOKEN
from app.context import Context
from app.services.tenants import sessions, sign_in, sign_in_links
from app.services.tenants.sessions import SessionState, SignedIn
from app.services.tenants.sign_in import PasswordRequested
from blueprints.tenant_api import api
from blueprints.web.fields import NO_NUL, RequestModel, typed_code, typed_slug
from blueprints.web.known_browsers import HEADER, WithHeaders, marked, marks_in

SignInName = Annotated[
    str,
    BeforeValidator(typed_slug),
    Field(min_length=3, max_length=100, pattern=NO_NUL, description="The tenant's slug, in any case."),
]
OneTimePassword = Annotated[
    str,
    BeforeValidator(typed_code),
    Field(min_length=6, max_length=6, pattern=NO_NUL, description="The six digits sent, in groups or not."),
]


class PasswordRequest(RequestModel):
    """Who wants to sign in."""

    tenant_slug: SignInName


class PasswordCheck(RequestModel):
    """Who signs in, and the code that was sent."""

    tenant_slug: SignInName
    otp_code: OneTimePassword


class LinkUse(RequestModel):
    """Whose link it is."""

    token: Annotated[
        str, Field(min_length=1, max_length=200, pattern=NO_NUL, description="The last part of the link's address.")
    ]


@api.operation(
    "POST",
    "/auth/otp/generate",
    caller=ANYONE,
    body=PasswordRequest,
    answers=PasswordRequested,
    errors=(errors.RateLimitedError,),
    optional_headers=HEADER,
    shown_as_is=True,
)
async def generate_one_time_password(
    ctx: Context, asked: PasswordRequest, headers: Mapping[str, str]
) -> PasswordRequested:
    """Send a one-time password to a tenant.

    The answer is the same whether there is such a tenant and whether it can be reached; the code is never in it.
    The newest code is the only one that works, once.
    """
    return await sign_in.request_password(ctx, asked.tenant_slug, marks_in(headers, asked.tenant_slug))


@api.operation(
    "POST",
    "/auth/otp/verify",
    caller=ANYONE,
    body=PasswordCheck,
    answers=SignedIn,
    errors=(errors.OneTimePasswordInvalidError, errors.RateLimitedError),
    optional_headers=HEADER,
    shown_as_is=True,
)
async def verify_one_time_password(ctx: Context, given: PasswordCheck, headers: Mapping[str, str]) -> WithHeaders:
    """Sign in with a one-time password.

    A code survives a few wrong guesses from one place, then a new one is needed. The session token goes into
    X-Session-Token. A cookie makes the browser known, so that strangers cannot use up its guesses and codes; it signs
    nobody in.
    """
    marks = marks_in(headers, given.tenant_slug)
    admitted = await sign_in.verify_password(ctx, given.tenant_slug, given.otp_code, marks)
    return marked(ctx, admitted.session, admitted.mark)


@api.operation(
    "POST",
    "/auth/link",
    caller=ANYONE,
    body=LinkUse,
    answers=SignedIn,
    errors=(errors.TenantLinkInvalidError, errors.RateLimitedError),
    shown_as_is=True,
)
async def use_tenant_sign_in_link(ctx: Context, given: LinkUse) -> WithHeaders:
    """Sign in with the token of a link that an operator has made.

    It works once. The browser is known from then on, as after any sign-in.
    """
    admitted = await sign_in_links.use_link(ctx, given.token)
    return marked(ctx, admitted.session, admitted.mark)


@api.operation(
    "GET",
    "/auth/session",
    caller=TENANT,
    answers=SessionState,
)
async def tenant_session(ctx: Context) -> SessionState:
    """Whose session this is, and when it ends."""
    return sessions.session_state(ctx)


@api.operation(
    "POST",
    "/auth/refresh",
    caller=TENANT,
    answers=SignedIn,
)
async def refresh_tenant_session(ctx: Context) -> SignedIn:
    """Say that the session is in use.

    The token stays the same, and so does the session's end.
    """
    return sessions.refreshed(ctx)


@api.operation(
    "POST",
    "/auth/logout",
    caller=TENANT_TOKEN,
    answers=None,
    status=204,
)
async def sign_out_tenant(ctx: Context) -> None:
    """End the session.

    A token that is not known, or has ended, is answered the same.
    """
    await sessions.sign_out(ctx)
