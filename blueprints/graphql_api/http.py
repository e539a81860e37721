"""GraphQL by POST and GET: a request is read once its sender is known, and its answer is always one of GraphQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import orjson
import structlog
from graphql import OperationType
from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.errors import PortalError, UnavailableError
from app.execution.failures import extensions_of
from app.execution.running import Answered, Asked, Engine, Ready, RefusedError
from app.resolvers.context import GraphQLContext
from blueprints.graphql_api.callers import budget_of, caller_of
from blueprints.graphql_api.requests import asked_in_body, asked_in_query
from blueprints.web.answer_headers import finish
from blueprints.web.answers import Answer
from blueprints.web.endpoints import Answered as Sent
from blueprints.web.problems import problem_headers

MODERN: Final = "application/graphql-response+json"
READING: Final = frozenset({OperationType.QUERY})
ALL: Final = frozenset({OperationType.QUERY, OperationType.MUTATION})

log = structlog.get_logger(__name__)


class GraphQLOverHttp:
    """Answers requests in GraphQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def post(self, request: Request, request_id: str) -> Sent:
        """What a POST is answered."""
        limit: int = request.app.ctx.runtime.settings.request_max_bytes
        return await self._answer(request, request_id, partial(asked_in_body, limit=limit), ALL)

    async def get(self, request: Request, request_id: str) -> Sent:
        """What a GET is answered, which runs queries only."""
        return await self._answer(request, request_id, asked_in_query, READING)

    async def _answer(
        self, request: Request, request_id: str, read: Callable[[Request], Asked], kinds: frozenset[OperationType]
    ) -> Sent:
        try:
            ctx = await caller_of(request, request.app.ctx.runtime, request_id)
            response = _response(request, await answered(self.engine, ctx, read(request), kinds), request_id)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets an answer of GraphQL
            response = _refusal(request, failure, request_id)
        finish(request, response)
        return Sent(response, response.status)


async def answered(engine: Engine, ctx: Context, asked: Asked, kinds: frozenset[OperationType]) -> Answered:
    """What an operation of one of these kinds answers, or why it is refused."""
    try:
        ready = await made_ready(engine, ctx, asked, kinds)
    except RefusedError as refusal:
        return refusal.answered(ctx.request_id)
    return await engine.run(ready, GraphQLContext.of(ctx), ctx.request_id)


async def made_ready(engine: Engine, ctx: Context, asked: Asked, kinds: frozenset[OperationType]) -> Ready:
    """The operation, paid for by its caller; raises RefusedError."""
    runtime = ctx.runtime

    async def count_cost(cost: int) -> int | None:
        allowance = await runtime.rate_limits.count_cost(budget_of(ctx.actor), cost)
        return None if allowance is None else allowance.remaining

    may_introspect = runtime.settings.environment == "development" or ctx.session is None
    return await engine.ready(asked, kinds=kinds, may_introspect=may_introspect, count_cost=count_cost)


def _response(request: Request, answer: Answered, request_id: str) -> HTTPResponse:
    """The answer as its caller wants it.

    A caller that knows the newer media type reads from the status whether the document was run. For the older one it is
    200, except where a program in between has to see what happened.
    """
    is_modern = MODERN in (request.headers.get("accept") or "")
    status, headers = 200, dict[str, str]()
    if answer.error is not None:
        headers = problem_headers(answer.error)
        if is_modern or answer.error.status in {405, 429}:
            status = answer.error.status
    body = orjson.dumps(answer.body, option=orjson.OPT_UTC_Z)
    media_type = MODERN if is_modern else "application/json"
    return Answer(body, request_id, status=status, media_type=media_type, more=headers)


def _refusal(request: Request, failure: Exception, request_id: str) -> HTTPResponse:
    """What was refused before its document was looked at, with the status of the error anywhere else."""
    if not isinstance(failure, PortalError):
        log.error("request_failed", path="/graphql", request_id=request_id, exc_info=failure)
        failure = PortalError()
    elif isinstance(failure, UnavailableError):
        log.warning("unavailable", code=failure.code, path="/graphql", request_id=request_id)
    told = {"message": failure.detail, "extensions": extensions_of(failure, request_id)}
    body = orjson.dumps({"errors": [told]}, option=orjson.OPT_UTC_Z, default=str)
    media_type = MODERN if MODERN in (request.headers.get("accept") or "") else "application/json"
    return Answer(body, request_id, status=failure.status, media_type=media_type, more=problem_headers(failure))
