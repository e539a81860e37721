"""The pages on which operators sign in and out, where that leads, and what a front end asks about it."""

from __future__ import annotations

from collections.abc import Mapping

from sanic import Request
from sanic.response import HTTPResponse

from app.access.callers import OPERATOR
from app.context import Context
from app.errors import AttemptUnknownError, PortalError, UnauthenticatedError, ValidationError
from app.services.operators import accounts, local_sign_in, provider_sign_in, sessions
from app.services.operators.accounts import SignedInOperator
from app.services.operators.local_sign_in import MAX_CHARACTERS, MIN_CHARACTERS, LinkOwner
from app.services.operators.sessions import SignedIn
from blueprints.web.cookies import SESSION_COOKIE, cookies_of, session_actor, session_cookies
from blueprints.web.forms import set_cookie
from blueprints.web.operations import Api
from blueprints.web.pages import HOME_PATH, SIGN_IN_PATH, Pages, View, reads_pages, see_other

api = Api("operators", "/auth")
pages = Pages("operator_auth")

# The beginning of their names: each tab has an attempt of its own.
ATTEMPT_COOKIE = "sign_in_"
ATTEMPT_PATH = "/auth"


@api.operation("GET", "/me", caller=OPERATOR, answers=SignedInOperator)
async def me(ctx: Context) -> SignedInOperator:
    """Who is signed in, or whose API token this is, and what they may do."""
    return await accounts.me(ctx)


@pages.page("GET", HOME_PATH, caller=OPERATOR, template="welcome.html")
async def administration(request: Request, ctx: Context) -> View:
    """Where signing in leads."""
    return View({"me": await accounts.me(ctx)})


@pages.page("GET", SIGN_IN_PATH, template="sign_in.html")
async def sign_in_form(request: Request, ctx: Context) -> View:
    """The ways to sign in."""
    return _ways(ctx)


@pages.page("POST", "/auth/local", template="sign_in.html")
async def sign_in_locally(request: Request, ctx: Context, form: Mapping[str, str]) -> View | HTTPResponse:
    """Sign in by a password."""
    email = form.get("email", "")
    try:
        return _signed_in(ctx, await local_sign_in.sign_in(ctx, email=email, password=form.get("password", "")))
    except PortalError as error:
        return _ways(ctx, email, error)


@pages.page("GET", "/auth/link/{token}", template="choose_password.html")
async def choose_password(request: Request, ctx: Context, token: str) -> View:
    """Ask for the password that a sign-in link is good for; to look at it does not use it."""
    return _choice(token, await local_sign_in.link_owner(ctx, token))


@pages.page("POST", "/auth/link", template="choose_password.html")
async def use_sign_in_link(request: Request, ctx: Context, form: Mapping[str, str]) -> View | HTTPResponse:
    """Use a sign-in link: set the password, and sign in."""
    token = form.get("token", "")
    try:
        return _signed_in(ctx, await local_sign_in.use_link(ctx, token=token, password=form.get("password", "")))
    except PortalError as error:
        # Only a person gets the form again, for which the link's owner must be found; a limit stands whoever asks.
        if error.status in {401, 429} or not reads_pages(request):
            raise
        return _choice(token, await local_sign_in.link_owner(ctx, token), error)


@pages.page("GET", "/auth/login")
async def sign_in_with_provider(request: Request, ctx: Context) -> HTTPResponse:
    """Lead to the identity provider."""
    started = await provider_sign_in.start(ctx)
    response = see_other(started.address)
    for name in provider_sign_in.attempts_to_forget(ctx, _attempts(request)):
        set_cookie(response, ctx.runtime, name, "", path=ATTEMPT_PATH, seconds=0)
    set_cookie(
        response,
        ctx.runtime,
        ATTEMPT_COOKIE + started.name,
        started.cookie,
        path=ATTEMPT_PATH,
        seconds=provider_sign_in.ATTEMPT_SECONDS,
    )
    return response


@pages.page("GET", "/auth/callback")
async def back_from_provider(request: Request, ctx: Context) -> HTTPResponse:
    """Come back from the identity provider; whoever has signed in already and loads this again is led on."""
    said = {name: value for name, value in request.query_args if isinstance(value, str)}
    name = ATTEMPT_COOKIE + provider_sign_in.attempt_name(said.get("state", ""))
    try:
        signed_in = await provider_sign_in.finish(ctx, cookies=cookies_of(request, name), callback=said)
    except AttemptUnknownError:
        if await _is_signed_in(request, ctx):
            return see_other(HOME_PATH)
        raise
    response = _signed_in(ctx, signed_in)
    set_cookie(response, ctx.runtime, name, "", path=ATTEMPT_PATH, seconds=0)
    return response


def _attempts(request: Request) -> dict[str, str]:
    """The cookies of attempts that wait, by their names."""
    names = [name for name in request.cookies if name.startswith(ATTEMPT_COOKIE)]
    return {name: found[0] for name in names if (found := cookies_of(request, name))}


async def _is_signed_in(request: Request, ctx: Context) -> bool:
    try:
        return await session_actor(request, ctx.runtime) is not None
    except UnauthenticatedError:
        return False


@pages.page("GET", "/auth/logout", template="sign_out.html")
async def sign_out_form(request: Request, ctx: Context) -> View | HTTPResponse:
    """Ask whether to sign out; to follow a link here ends nothing."""
    if not session_cookies(request, ctx.runtime.keys):
        return see_other(SIGN_IN_PATH)
    return View({})


@pages.page("POST", "/auth/logout")
async def sign_out(request: Request, ctx: Context, form: Mapping[str, str]) -> HTTPResponse:
    """End every session that this browser has here."""
    for cookie in session_cookies(request, ctx.runtime.keys):
        await sessions.sign_out(ctx, cookie)
    response = see_other(SIGN_IN_PATH)
    set_cookie(response, ctx.runtime, SESSION_COOKIE, "", seconds=0)
    return response


def _signed_in(ctx: Context, signed_in: SignedIn) -> HTTPResponse:
    response = see_other(HOME_PATH)
    set_cookie(response, ctx.runtime, SESSION_COOKIE, signed_in.cookie, seconds=signed_in.seconds)
    return response


def _ways(ctx: Context, email: str = "", error: PortalError | None = None) -> View:
    values = {"has_provider": ctx.runtime.identity_provider.is_configured, "email": email, "alert": _words(error)}
    return View(values, error.status if error else 200, error)


def _choice(token: str, bearer: LinkOwner, error: PortalError | None = None) -> View:
    length = {"minimum": MIN_CHARACTERS, "maximum": MAX_CHARACTERS}
    values = {"token": token, "email": bearer.email, "alert": _words(error), **length}
    return View(values, error.status if error else 200, error)


def _words(error: PortalError | None) -> str:
    if isinstance(error, ValidationError):
        return " ".join(field.message for field in error.fields)
    return error.detail if error else ""
