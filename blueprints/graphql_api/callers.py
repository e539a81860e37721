"""Who may ask in GraphQL: a tenant by its session, an operator by a session or an API token."""

from __future__ import annotations

from pydantic import SecretStr
from sanic import Request

from app.access.permissions import Permission
from app.context import Actor, Context
from app.errors import CallerNotSentError, PermissionDeniedError
from app.runtime import Runtime
from app.services.operators.identity import API_TOKEN_PREFIX, cookie_actor, token_actor
from app.services.tenants.sessions import authenticate
from blueprints.web.bodies import bearer_token
from blueprints.web.identify import READING, SESSION_COOKIE, address_of, check_origin


async def caller_of(request: Request, runtime: Runtime, request_id: str) -> Context:
    """The context of a request.

    Raises CallerNotSentError, SessionInvalidError, SessionExpiredError, ApiTokenInvalidError, OriginRefusedError,
    PermissionDeniedError.
    """
    address = address_of(request)
    if token := request.headers.get("x-session-token"):
        return await of_token(runtime, token, request_id, address)
    if request.headers.get("authorization"):
        return await of_token(runtime, bearer_token(request), request_id, address)
    if cookie := request.cookies.get(SESSION_COOKIE):
        if request.method not in READING:
            check_origin(request, runtime)
        return _reading(Context(runtime, await cookie_actor(runtime, cookie), request_id, address))
    raise CallerNotSentError


async def of_token(runtime: Runtime, token: str, request_id: str, address: str) -> Context:
    """The context of whoever has this token, of a tenant's session or of the API."""
    if token.startswith(API_TOKEN_PREFIX):
        return _reading(Context(runtime, await token_actor(runtime, token), request_id, address))
    session = await authenticate(runtime, token)
    secret = SecretStr(token)
    return Context(runtime, session.actor, request_id, address, session=session, session_token=secret)


def _reading(ctx: Context) -> Context:
    if Permission.RUNS_READ not in ctx.actor.permissions:
        raise PermissionDeniedError(permission=Permission.RUNS_READ.value)
    return ctx


def budget_of(actor: Actor) -> str:
    """Whose budget what an actor asks for is counted against."""
    return f"tenant {actor.tenant_id}" if actor.type == "tenant" else f"{actor.type} {actor.id}"
