"""What every route does around its own work: a request id, the metrics, and a line in the access log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import structlog
from sanic import Request
from sanic.response import HTTPResponse

from app.runtime import Runtime
from app.telemetry import metrics
from blueprints.web.bodies import request_id_of

log = structlog.get_logger(__name__)


class Answered(NamedTuple):
    """The answer to a request and its status; the response is None where it was sent in parts already.

    ``following`` sends what follows the beginning of an answer that may last for days: that is not timed.
    """

    response: HTTPResponse | None
    status: int
    following: Coroutine[Any, Any, None] | None = None


# Answers a request, given its id and the parts of its path; raises nothing.
Answering = Callable[[Request, str, Mapping[str, Any]], Awaitable[Answered]]


def observed(method: str, route: str, answering: Answering) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    """The handler of a route, as the framework calls it: it answers, and counts and times the answer by its status."""
    observers: dict[int, Callable[[float], None]] = {}

    async def endpoint(request: Request, **path: Any) -> HTTPResponse | None:
        started = perf_counter()
        request_id = request_id_of(request)
        response, status, following = await answering(request, request_id, path)
        if (observe := observers.get(status)) is None:
            observe = observers[status] = metrics.requests.labels(method, route, status).observe
        seconds = perf_counter() - started
        observe(seconds)
        runtime: Runtime = request.app.ctx.runtime
        if runtime.settings.access_log:
            # The route and not the address: a query may hold a refresh token.
            log.info(
                "request",
                method=request.method,
                route=route,
                status=status,
                seconds=round(seconds, 4),
                request_id=request_id,
            )
        if following is not None:
            await following
        return response

    # It reads a body itself, or refuses it, once it knows who asks.
    endpoint.takes_body = True  # type: ignore[attr-defined]
    return endpoint
