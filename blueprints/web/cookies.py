"""Cookies of a request: another program on the same host may have set one of the same name, so each is looked at."""

from __future__ import annotations

from itertools import islice

from sanic import Request

from app.access.keys import Keys
from app.context import Actor
from app.errors import SessionExpiredError, SessionInvalidError
from app.runtime import Runtime
from app.services.operators.identity import cookie_actor, read_cookie

SESSION_COOKIE = "session"
# A browser sends the ones of longer paths first; nobody has more programs on one host.
MAX_OF_A_NAME = 8


def cookies_of(request: Request, name: str) -> list[str]:
    """All that the browser has sent under exactly this name; Sanic would answer __Host- and __Secure- ones instead."""
    sent: list[str] = dict.get(request.cookies, name) or []
    return [value for value in islice(sent, MAX_OF_A_NAME) if value]


def session_cookies(request: Request, keys: Keys) -> list[str]:
    """The cookies of sessions that this portal has signed."""
    return [cookie for cookie in cookies_of(request, SESSION_COOKIE) if read_cookie(keys, cookie) is not None]


async def session_actor(request: Request, runtime: Runtime) -> tuple[Actor, str] | None:
    """The operator of the first cookie whose session is good, and that cookie; None where none was sent.

    Raises SessionInvalidError or SessionExpiredError, as the last one says.
    """
    sent = cookies_of(request, SESSION_COOKIE)
    failure: SessionInvalidError | SessionExpiredError = SessionInvalidError()
    for cookie in session_cookies(request, runtime.keys):
        try:
            return await cookie_actor(runtime, cookie), cookie
        except (SessionInvalidError, SessionExpiredError) as refused:
            failure = refused
    if sent:
        raise failure
    return None
