"""How a handler becomes an operation: who may call it, what it reads and answers, stated once.

The statement is what the OpenAPI document shows and what is enforced, so the two cannot differ.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, TypeAdapter
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from app.access.callers import Caller
from app.context import Context
from app.contract.api_document import Operation
from app.errors import NotFoundError, PayloadTooLargeError, PortalError, ValidationError
from app.runtime import Runtime
from app.telemetry import metrics
from blueprints.web.answer_headers import finish
from blueprints.web.answers import Answer
from blueprints.web.bodies import read_body, read_query, request_id_of
from blueprints.web.downloads import Download, send
from blueprints.web.idempotency import answered_once
from blueprints.web.identify import identified
from blueprints.web.problems import problem_of
from blueprints.web.routes import add_route

Handler = Callable[..., Awaitable[Any]]

# The largest number that is an id in either database.
MAX_ID = 2**63 - 1
_NUMBER_IN_PATH = re.compile(r"\{(\w+):int\}")

log = structlog.get_logger(__name__)


class Api:
    """A blueprint whose routes are operations; ``operations`` lists them for the document."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.blueprint = Blueprint(name, url_prefix=prefix or None)
        self.operations: list[Operation] = []
        self._tag = name
        self._prefix = prefix

    def operation(
        self,
        method: str,
        path: str,
        *,
        caller: Caller,
        answers: type | str | None,
        status: int = 200,
        body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None,
        errors: tuple[type[PortalError], ...] = (),
        path_parameters: dict[str, str] | None = None,
        creates: bool = False,
        download: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Make a handler ``(ctx, [body or query], **path)`` answer here; its docstring describes it.

        Where ``query`` is given beside ``body``, the same fields may come either way. A part of the path that is a
        number is written ``{code_id:int}``. With status 204 the handler answers None. What ``creates`` something
        accepts the header Idempotency-Key and then runs once, however often it is sent. ``download`` is the media type
        of the Download that the handler may answer instead.
        """

        def register(handler: Handler) -> Handler:
            summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
            stated = Operation(
                method,
                self._prefix + path.replace(":int}", "}"),
                handler.__name__,
                summary.rstrip("."),
                " ".join(description.split()),
                self._tag,
                caller,
                answers,
                status,
                body,
                query,
                body is not None and query is not None,
                errors,
                path_parameters or {},
                frozenset(_NUMBER_IN_PATH.findall(path)),
                creates,
                download,
            )
            self.operations.append(stated)
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            route = path.replace(":int}", ":int>").replace("{", "<").replace("}", ":str>")
            add_route(self.blueprint, _endpoint(stated, handler), route, methods, handler.__name__)
            return handler

        return register


def _endpoint(stated: Operation, handler: Handler) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    observed: dict[int, Callable[[float], None]] = {}
    is_public = stated.is_public
    write = _writer(stated.answers)

    async def endpoint(request: Request, **path: Any) -> HTTPResponse | None:
        started = perf_counter()
        runtime: Runtime = request.app.ctx.runtime
        request_id = request_id_of(request)
        ctx: Context | None = None
        try:
            ctx = await identified(request, runtime, stated.caller, request_id)
            arguments = _arguments(request, ctx, stated, path)
            if stated.creates and (key := request.headers.get("idempotency-key")) is not None:
                run = partial(_run, handler, write, arguments[1:], path, stated.status)
                response: HTTPResponse | None = await answered_once(request, ctx, stated, key, run)
            elif isinstance(answer := await handler(*arguments, **path), Download):
                response, status = None, await send(request, answer, request_id)
            else:
                response = _response(answer, write, stated.status, request_id)
        except ValidationError as failure:
            response = problem_of(request, request_id, failure.placed(stated.place_of))
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            response = problem_of(request, request_id, failure)
        if response is not None:
            finish(request, response, is_public=is_public, allowance=ctx and ctx.allowance)
            status = response.status
        if (observe := observed.get(status)) is None:
            observe = metrics.requests.labels(stated.method, stated.path, status).observe
            observed[status] = observe
        seconds = perf_counter() - started
        observe(seconds)
        if runtime.settings.access_log:
            # The route and not the address: a query may hold a refresh token.
            log.info(
                "request",
                method=request.method,
                route=stated.path,
                status=status,
                seconds=round(seconds, 4),
                request_id=request_id,
            )
        return response

    return endpoint


async def _run(
    handler: Handler,
    write: Callable[[Any], bytes],
    read: tuple[Any, ...],
    path: dict[str, Any],
    status: int,
    ctx: Context,
) -> HTTPResponse:
    return _response(await handler(ctx, *read, **path), write, status, ctx.request_id or "")


def _arguments(request: Request, ctx: Context, stated: Operation, path: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a handler gets beside the parts of its path."""
    if stated.numbers_in_path:
        _check_numbers(stated, path)
    if stated.body is not None:
        return ctx, _read(request, ctx.runtime, stated, stated.body)
    if stated.query is not None:
        return ctx, read_query(request, stated.query)
    return (ctx,)


def _check_numbers(stated: Operation, path: Mapping[str, Any]) -> None:
    """Nothing has an id that no database can hold."""
    if any(abs(path[name]) > MAX_ID for name in stated.numbers_in_path):
        raise NotFoundError


def _writer(answers: type | str | None) -> Callable[[Any], bytes]:
    """What writes an operation's answers as JSON: members in camelCase where the record says so."""
    if isinstance(answers, type) and hasattr(answers, "__pydantic_config__"):
        return TypeAdapter[Any](answers).dump_json
    return partial(orjson.dumps, option=orjson.OPT_UTC_Z)


def _response(answer: Any, write: Callable[[Any], bytes], status: int, request_id: str) -> HTTPResponse:
    if isinstance(answer, HTTPResponse):
        answer.headers["x-request-id"] = request_id
        return answer
    if answer is None:
        return HTTPResponse(None, status, {"x-request-id": request_id})
    if isinstance(answer, BaseModel):
        return Answer(answer.model_dump_json(by_alias=True).encode(), request_id, status=status)
    return Answer(write(answer), request_id, status=status)


def _read(request: Request, runtime: Runtime, stated: Operation, model: type[BaseModel]) -> BaseModel:
    limit = runtime.settings.request_max_bytes
    if len(request.body) > limit:
        raise PayloadTooLargeError(limit=limit)
    if stated.query is not None and not request.body:
        return read_query(request, stated.query)
    return read_body(request, model)
