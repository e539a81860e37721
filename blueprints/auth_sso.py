"""Operators sign in and out, with the organisation's identity provider or by a password."""

from __future__ import annotations

from sanic import Request
from sanic.response import HTTPResponse

from app.access.callers import OPERATOR
from app.context import Context
from app.errors import PortalError
from app.services.operators import accounts, local_sign_in, provider_sign_in, sessions
from app.services.operators.accounts import SignedInOperator
from app.services.operators.sessions import SignedIn
from blueprints.sign_in_pages import password_page, sign_in_page, sign_out_page, welcome_page
from blueprints.web.forms import FormGuard, read_form, set_cookie
from blueprints.web.identify import SESSION_COOKIE
from blueprints.web.operations import Api
from blueprints.web.pages import SIGN_IN_PATH, Pages, reads_pages, see_other

api = Api("operators", "/auth")
pages = Pages("sign-in")

HOME_PATH = "/admin"
ATTEMPT_COOKIE = "sign_in"
ATTEMPT_PATH = "/auth"


@api.operation("GET", "/me", caller=OPERATOR, answers=SignedInOperator)
async def me(ctx: Context) -> SignedInOperator:
    """Who is signed in, or whose API token this is, and what they may do."""
    return await accounts.me(ctx)


@pages.page("GET", HOME_PATH, caller=OPERATOR)
async def administration(request: Request, ctx: Context) -> HTTPResponse:
    """Where signing in leads."""
    return welcome_page(await accounts.me(ctx))


@pages.page("GET", SIGN_IN_PATH)
async def sign_in_form(request: Request, ctx: Context) -> HTTPResponse:
    """The ways to sign in."""
    guard = FormGuard(request, ctx.runtime)
    return guard.applied(sign_in_page(guard.field, has_provider=ctx.runtime.identity_provider.is_configured))


@pages.page("POST", "/auth/local")
async def sign_in_locally(request: Request, ctx: Context) -> HTTPResponse:
    """Sign in by a password."""
    email = ""
    try:
        form = read_form(request, ctx.runtime)
        email = form.get("email", "")
        return _signed_in(ctx, await local_sign_in.sign_in(ctx, email=email, password=form.get("password", "")))
    except PortalError as error:
        if not reads_pages(request):
            raise
        guard = FormGuard(request, ctx.runtime)
        has_provider = ctx.runtime.identity_provider.is_configured
        page = sign_in_page(guard.field, has_provider=has_provider, error=error, status=error.status, email=email)
        return guard.applied(_told_to_wait(page, error))


@pages.page("GET", "/auth/link/{token}")
async def choose_password(request: Request, ctx: Context, token: str) -> HTTPResponse:
    """Ask for the password that a sign-in link is good for; to look at it does not use it."""
    owner = await local_sign_in.link_owner(ctx, token)
    guard = FormGuard(request, ctx.runtime)
    return guard.applied(password_page(guard.field, token=token, email=owner.email))


@pages.page("POST", "/auth/link")
async def use_sign_in_link(request: Request, ctx: Context) -> HTTPResponse:
    """Use a sign-in link: set the password, and sign in."""
    form = read_form(request, ctx.runtime)
    token = form.get("token", "")
    try:
        return _signed_in(ctx, await local_sign_in.use_link(ctx, token=token, password=form.get("password", "")))
    except PortalError as error:
        if not reads_pages(request) or error.status == 401:
            raise
        owner = await local_sign_in.link_owner(ctx, token)
        guard = FormGuard(request, ctx.runtime)
        page = password_page(guard.field, token=token, email=owner.email, error=error, status=error.status)
        return guard.applied(_told_to_wait(page, error))


@pages.page("GET", "/auth/login")
async def sign_in_with_provider(request: Request, ctx: Context) -> HTTPResponse:
    """Lead to the identity provider."""
    started = await provider_sign_in.start(ctx)
    response = see_other(started.address)
    set_cookie(
        response,
        ctx.runtime,
        ATTEMPT_COOKIE,
        started.cookie,
        path=ATTEMPT_PATH,
        seconds=provider_sign_in.ATTEMPT_SECONDS,
    )
    return response


@pages.page("GET", "/auth/callback")
async def back_from_provider(request: Request, ctx: Context) -> HTTPResponse:
    """Come back from the identity provider."""
    said = {name: value for name, value in request.query_args if isinstance(value, str)}
    response = _signed_in(
        ctx, await provider_sign_in.finish(ctx, cookie=request.cookies.get(ATTEMPT_COOKIE), callback=said)
    )
    set_cookie(response, ctx.runtime, ATTEMPT_COOKIE, "", path=ATTEMPT_PATH, seconds=0)
    return response


@pages.page("GET", "/auth/logout")
async def sign_out_form(request: Request, ctx: Context) -> HTTPResponse:
    """Ask whether to sign out; to follow a link here ends nothing."""
    if not request.cookies.get(SESSION_COOKIE):
        return see_other(SIGN_IN_PATH)
    guard = FormGuard(request, ctx.runtime)
    return guard.applied(sign_out_page(guard.field))


@pages.page("POST", "/auth/logout")
async def sign_out(request: Request, ctx: Context) -> HTTPResponse:
    """End the session."""
    read_form(request, ctx.runtime)
    await sessions.sign_out(ctx, request.cookies.get(SESSION_COOKIE) or "")
    response = see_other(SIGN_IN_PATH)
    set_cookie(response, ctx.runtime, SESSION_COOKIE, "", seconds=0)
    return response


def _signed_in(ctx: Context, signed_in: SignedIn) -> HTTPResponse:
    response = see_other(HOME_PATH)
    set_cookie(response, ctx.runtime, SESSION_COOKIE, signed_in.cookie, seconds=signed_in.seconds)
    return response


def _told_to_wait(page: HTTPResponse, error: PortalError) -> HTTPResponse:
    if (retry_after := error.values.get("retry_after")) is not None:
        page.headers["retry-after"] = str(retry_after)
    return page
