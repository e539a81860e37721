"""Subscriptions as server-sent events, by the protocol GraphQL over SSE: an answer for each, and nothing to keep.

Each thing that is told is an event ``next``, and ``complete`` the last one. A stream that ends without it was cut off:
the client comes back with the last cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import orjson
from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.errors import PermissionDeniedError, PortalError, SessionInvalidError
from app.execution.failures import told_of
from app.execution.running import Answered, Engine, Ready
from app.execution.subscribing import Subscription
from app.services.connections import Connection, Connections, End
from blueprints.graphql_api.callers import Caller
from blueprints.graphql_api.operations import subscribed
from blueprints.web.answers import Answer
from blueprints.web.endpoints import Answered as Sent
from blueprints.web.event_streams import MEDIA_TYPE, EventStream, event_of, stream

COMPLETE: Final = event_of("complete", b"")


def wants_stream(request: Request) -> bool:
    """Whether a request asks for server-sent events."""
    return MEDIA_TYPE in (request.headers.get("accept") or "")


def told_once(answer: Answered, request_id: str) -> HTTPResponse:
    """The answer to a query or a mutation as a stream of one event."""
    return Answer(_next(answer.body) + COMPLETE, request_id, media_type=MEDIA_TYPE)


async def told_as_it_happens(request: Request, engine: Engine, caller: Caller, ready: Ready, request_id: str) -> Sent:
    """Begin the stream of a subscription.

    Raises RefusedError, ConnectionsFullError, TooManyConnectionsError, ShuttingDownError.
    """
    ctx = caller.ctx
    told = _Told(ctx)
    try:
        told.connection.identify(ctx.actor, caller.credential)
        told.subscription = await subscribed(engine, ctx, ready)
    except BaseException:
        told.close()
        raise
    return await stream(request, EventStream(told, _next, told.last_words), request_id)


class _Told:
    """What a subscription answers, until it or its caller's credential ends."""

    def __init__(self, ctx: Context) -> None:
        self.end: str | None = None
        self.subscription: Subscription | None = None
        self._request_id = ctx.request_id
        self._has_ended = asyncio.Event()
        self._answer: asyncio.Task[Answered] | None = None
        self.connection: Connection = ctx.runtime.part(Connections).open(self._ended)

    async def next(self, seconds: float | None = None) -> Sequence[dict[str, Any]]:
        """The next answer; none after so many seconds without one, or at the end."""
        if self.subscription is None or self.end is not None:
            return ()
        if self._answer is None:
            self._answer = asyncio.create_task(self.subscription.next())
            # Where the end comes first, nobody asks any more how it went.
            self._answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        ended = asyncio.create_task(self._has_ended.wait())
        try:
            await asyncio.wait({self._answer, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if self._has_ended.is_set() or not self._answer.done():
            return ()
        answer, self._answer = self._answer, None
        try:
            return (answer.result().body,)
        except SessionInvalidError:
            self._ended("session_ended")
            return ()

    def close(self) -> None:
        """Whoever listened has gone."""
        if self._answer is not None:
            self._answer.cancel()
        if self.subscription is not None:
            self.subscription.close()
        self.connection.close()

    def last_words(self, end: str) -> bytes:
        """Why no more is told; nothing where the client may come back at once."""
        failures: dict[str, PortalError] = {
            "session_ended": SessionInvalidError(),
            "forbidden": PermissionDeniedError(permission="runs:read"),
        }
        if (failure := failures.get(end)) is None:
            return b""
        return _next({"errors": [told_of(failure, self._request_id)]}) + COMPLETE

    def _ended(self, end: End) -> None:
        self.end = end
        self._has_ended.set()


def _next(body: dict[str, Any]) -> bytes:
    return event_of("next", orjson.dumps(body, option=orjson.OPT_UTC_Z))
