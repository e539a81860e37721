"""Identifying the caller of a request by an access token, a session token, a cookie or an API token."""

from __future__ import annotations

from pydantic import SecretStr
from sanic import Request

from app.access.callers import DEVICE, Caller
from app.context import VISITOR, Actor, Context
from app.errors import OriginRefusedError, PermissionDeniedError
from app.limits.rate_limits import Allowance
from app.runtime import Runtime
from app.services.operators.identity import API_TOKEN_PREFIX, token_actor
from app.services.tenants.sessions import authenticate
from blueprints.web.bodies import bearer_token
from blueprints.web.cookies import SESSION_COOKIE, cookies_of, session_actor

READING = frozenset({"GET", "HEAD", "OPTIONS"})


async def identified(
    request: Request, runtime: Runtime, caller: Caller, request_id: str, *, is_form: bool = False
) -> Context:
    """The context of a request with its caller; raises an error of the rule for a caller that it does not accept.

    ``is_form`` means that a page's form was sent; ``read_form`` then checks its origin and its token.
    """
    if caller is DEVICE:
        device, allowance = await _device(runtime, bearer_token(request))
        return Context(runtime, device, request_id, None, allowance)
    if caller.is_anyone:
        return Context(runtime, VISITOR, request_id, address_of(request))
    if (caller.tenant_token or caller.tenant) and (text := request.headers.get("x-session-token")):
        token = SecretStr(text)
        if caller.tenant_token:
            return Context(runtime, VISITOR, request_id, address_of(request), session_token=token)
        session = await authenticate(runtime, text)
        return Context(runtime, session.actor, request_id, address_of(request), session=session, session_token=token)
    actor, allowance = await _actor(request, runtime, caller, is_form=is_form)
    # A device has no permissions, and needs none where it is accepted beside operators and programs.
    if actor.type != "device" and caller.permission is not None and caller.permission not in actor.permissions:
        raise PermissionDeniedError(permission=caller.permission.value)
    # No use case needs the address of a device, and finding it takes as long as identifying the device.
    address = None if actor.type == "device" else address_of(request)
    return Context(runtime, actor, request_id, address, allowance)


def address_of(request: Request) -> str:
    """Where a request comes from, as far as the proxies in front can be believed."""
    return request.remote_addr or request.ip


async def _actor(
    request: Request, runtime: Runtime, caller: Caller, *, is_form: bool
) -> tuple[Actor, Allowance | None]:
    if (caller.device or caller.is_operator) and request.headers.get("authorization"):
        token = bearer_token(request)
        if caller.is_operator and token.startswith(API_TOKEN_PREFIX):
            return await token_actor(runtime, token), None
        if caller.device:
            return await _device(runtime, token)
    if caller.is_operator and cookies_of(request, SESSION_COOKIE):
        if request.method not in READING and not is_form:
            check_origin(request, runtime)
        if (found := await session_actor(request, runtime)) is not None:
            return found[0], None
    raise caller.not_sent


async def _device(runtime: Runtime, access_token: str) -> tuple[Actor, Allowance | None]:
    token = await runtime.tokens.verify(access_token)
    allowance = await runtime.rate_limits.count_device_request(token.device_id)
    return Actor.of_device(token.tenant_id, token.device_id), allowance


def check_origin(request: Request, runtime: Runtime) -> None:
    """Raise OriginRefusedError unless a change with a cookie comes from a page that may send it.

    A browser names the page's origin with every change. A program, which names none, has to use an API token.
    """
    if (request.headers.get("origin") or "").lower() not in runtime.settings.trusted_origins:
        raise OriginRefusedError
