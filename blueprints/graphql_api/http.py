"""GraphQL by POST and GET: a request is read once its sender is known, and its answer is always one of GraphQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import orjson
import structlog
from graphql import OperationType
from sanic import Request
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse

from app.context import Context
from app.contract.api_document import LARGE_BODY
from app.database.failures import cause_of
from app.errors import PortalError, UnavailableError
from app.execution.failures import told_of
from app.execution.running import Answered, Asked, Engine, Ready, RefusedError
from app.runtime import Runtime
from blueprints.graphql_api.callers import Caller, caller_of
from blueprints.graphql_api.operations import (
    ALL,
    ANSWERED_ONCE,
    READING,
    READING_AND_TOLD,
    Kinds,
    made_ready,
    run,
)
from blueprints.graphql_api.requests import asked_in_body, asked_in_query
from blueprints.graphql_api.sockets import connected
from blueprints.graphql_api.streams import told_as_it_happens, told_once, wants_stream
from blueprints.web.answer_headers import finish
from blueprints.web.answers import Answer
from blueprints.web.bodies import is_body_left, receive_body
from blueprints.web.endpoints import Answered as Sent
from blueprints.web.idempotency import Outcome, answered_once
from blueprints.web.problems import problem_headers

MODERN: Final = "application/graphql-response+json"

log = structlog.get_logger(__name__)


class GraphQLOverHttp:
    """Answers requests in GraphQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def post(self, request: Request, request_id: str) -> Sent:
        """What a POST is answered."""
        kinds = ALL if wants_stream(request) else ANSWERED_ONCE
        return await self._answer(request, request_id, asked_in_body, kinds)

    async def get(self, request: Request, request_id: str) -> Sent:
        """What a GET is answered, which changes nothing."""
        kinds = READING_AND_TOLD if wants_stream(request) else READING
        return await self._answer(request, request_id, asked_in_query, kinds)

    async def connect(self, request: Request, request_id: str) -> Sent:
        """A WebSocket, or why there is none."""
        try:
            if is_body_left(request):
                await receive_body(request, 0)
            return await connected(request, self.engine, request_id)
        except SanicException:
            # The framework answers a handshake that went wrong.
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets an answer of GraphQL
            response = refusal(request, failure, request_id)
        finish(request, response)
        return Sent(response, response.status)

    async def _answer(self, request: Request, request_id: str, read: Callable[[Request], Asked], kinds: Kinds) -> Sent:
        try:
            runtime: Runtime = request.app.ctx.runtime
            caller = await caller_of(request, runtime, request_id)
            if is_body_left(request):
                limit = min(LARGE_BODY, runtime.settings.request_max_bytes) if request.method == "POST" else 0
                await receive_body(request, limit)
            return await self._told(request, caller, read(request), kinds, request_id)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets an answer of GraphQL
            response = refusal(request, failure, request_id)
        finish(request, response)
        return Sent(response, response.status)

    async def _told(self, request: Request, caller: Caller, asked: Asked, kinds: Kinds, request_id: str) -> Sent:
        """The answer, as server-sent events for who wants these; a refusal as a whole is answered at once."""
        try:
            ready = await made_ready(self.engine, caller.ctx, asked, kinds)
            key = request.headers.get("idempotency-key")
            if ready.operation.kind is OperationType.SUBSCRIPTION:
                return await told_as_it_happens(request, self.engine, caller, ready, request_id)
            if ready.operation.kind is OperationType.MUTATION and key is not None:
                change = partial(self._change, request, ready)
                response = await answered_once(request, caller.ctx, "graphql", key, change)
            else:
                response = _run_response(request, await run(self.engine, caller.ctx, ready), request_id)
        except RefusedError as refused:
            response = _response(request, refused.answered(request_id), request_id)
        finish(request, response)
        return Sent(response, response.status)

    async def _change(self, request: Request, ready: Ready, ctx: Context) -> Outcome:
        """What a change answers under an Idempotency-Key; it is not kept where it failed and might not again."""
        answer = await run(self.engine, ctx, ready)
        return Outcome(_run_response(request, answer, ctx.request_id or ""), answer.worst_status)


def _run_response(request: Request, answer: Answered, request_id: str) -> HTTPResponse:
    return told_once(answer, request_id) if wants_stream(request) else _response(request, answer, request_id)


def _response(request: Request, answer: Answered, request_id: str) -> HTTPResponse:
    """The answer as its caller wants it.

    A caller that knows the newer media type, or waits for a stream, reads from the status whether the document was run.
    For the older one it is 200, except where a program in between has to see what happened.
    """
    is_modern = MODERN in (request.headers.get("accept") or "")
    status, headers = 200, dict[str, str]()
    if answer.error is not None:
        headers = problem_headers(answer.error)
        if is_modern or wants_stream(request) or answer.error.status in {405, 429}:
            status = answer.error.status
    elif not answer.has_run and wants_stream(request):
        status = PortalError.status
    body = orjson.dumps(answer.body, option=orjson.OPT_UTC_Z)
    media_type = MODERN if is_modern else "application/json"
    return Answer(body, request_id, status=status, media_type=media_type, more=headers)


def refusal(request: Request, failure: Exception, request_id: str) -> HTTPResponse:
    """What was refused before its document was looked at, with the status of the error anywhere else."""
    if not isinstance(failure, PortalError):
        log.error("request_failed", path="/graphql", request_id=request_id, exc_info=failure)
        failure = PortalError()
    elif isinstance(failure, UnavailableError):
        log.warning("unavailable", code=failure.code, cause=cause_of(failure), path="/graphql", request_id=request_id)
    body = orjson.dumps({"errors": [told_of(failure, request_id)]}, option=orjson.OPT_UTC_Z, default=str)
    media_type = MODERN if MODERN in (request.headers.get("accept") or "") else "application/json"
    return Answer(body, request_id, status=failure.status, media_type=media_type, more=problem_headers(failure))
