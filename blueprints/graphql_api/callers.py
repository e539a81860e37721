"""Who may ask in GraphQL: a tenant by its session, an operator by a session or an API token."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import SecretStr
from sanic import Request

from app.access.permissions import Permission
from app.context import Context
from app.errors import CallerNotSentError, PermissionDeniedError
from app.runtime import Runtime
from app.services.connections import Credential
from app.services.operators.identity import (
    API_TOKEN_PREFIX,
    api_token_hash,
    session_hash,
    token_actor,
)
from app.services.tenants.sessions import authenticate, token_hash_of
from blueprints.web.bodies import bearer_token
from blueprints.web.cookies import SESSION_COOKIE, cookies_of, session_actor
from blueprints.web.identify import READING, address_of, check_origin


class Caller(NamedTuple):
    """Who asks, and what was shown for it."""

    ctx: Context
    credential: Credential


async def caller_of(request: Request, runtime: Runtime, request_id: str) -> Caller:
    """Who sends a request.

    Raises CallerNotSentError, SessionInvalidError, SessionExpiredError, ApiTokenInvalidError, OriginRefusedError,
    PermissionDeniedError.
    """
    address = address_of(request)
    if (token := token_in(request)) is not None:
        return await of_token(runtime, token, request_id, address)
    if cookies_of(request, SESSION_COOKIE) and request.method not in READING:
        check_origin(request, runtime)
    if (found := await session_actor(request, runtime)) is not None:
        actor, cookie = found
        ctx = _reading(Context(runtime, actor, request_id, address))
        return Caller(ctx, Credential("operator_session", session_hash(runtime, cookie)))
    raise CallerNotSentError


def token_in(request: Request) -> str | None:
    """The token in a request's headers, if any; raises TokenNotSentError for one of another scheme."""
    if token := request.headers.get("x-session-token"):
        return str(token)
    return bearer_token(request) if request.headers.get("authorization") else None


async def of_token(runtime: Runtime, token: str, request_id: str, address: str) -> Caller:
    """Whoever has this token, of a tenant's session or of the API."""
    if token.startswith(API_TOKEN_PREFIX):
        ctx = _reading(Context(runtime, await token_actor(runtime, token), request_id, address))
        return Caller(ctx, Credential("api_token", api_token_hash(runtime, token)))
    session = await authenticate(runtime, token)
    secret = SecretStr(token)
    ctx = Context(runtime, session.actor, request_id, address, session=session, session_token=secret)
    return Caller(ctx, Credential("tenant_session", token_hash_of(runtime, token)))


def _reading(ctx: Context) -> Context:
    if Permission.RUNS_READ not in ctx.actor.permissions:
        raise PermissionDeniedError(permission=Permission.RUNS_READ.value)
    return ctx
