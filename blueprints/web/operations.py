"""How a handler becomes an operation: who may call it, what it reads and answers, stated once.

The statement is what the OpenAPI document shows and what is enforced, so the two cannot differ.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic import BaseModel, TypeAdapter
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from app import typed_text
from app.access.callers import Caller
from app.context import Context
from app.contract.api_document import SMALL_BODY, Operation, record_of
from app.errors import NotFoundError, PortalError, ValidationError
from app.runtime import Runtime
from app.services.directory.rules import is_slug
from blueprints.web.answer_headers import finish
from blueprints.web.answers import Answer
from blueprints.web.bodies import is_body_left, read_body, read_headers, read_query, receive_body
from blueprints.web.downloads import Download, send
from blueprints.web.endpoints import Answered, observed
from blueprints.web.event_streams import EventStream, stream
from blueprints.web.idempotency import Outcome, answered_once
from blueprints.web.identify import identified
from blueprints.web.known_browsers import WithHeaders
from blueprints.web.problems import problem_of
from blueprints.web.routes import add_route
from blueprints.web.versions import Versioned, expected_versions
from sql.bounds import MAX_ID

Handler = Callable[..., Awaitable[Any]]

# A part of a path that a person may have typed into a front end.
SLUG = "tenant_slug"
_NUMBER_IN_PATH = re.compile(r"\{(\w+):int\}")


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
        body: type[BaseModel | bytes] | None = None,
        max_body: int | None = SMALL_BODY,
        query: type[BaseModel] | None = None,
        errors: tuple[type[PortalError], ...] = (),
        path_parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        optional_headers: dict[str, str] | None = None,
        creates: bool = False,
        repeats: bool = False,
        download: str | None = None,
        asks_database: bool = True,
        versioned: bool = False,
        shown_as_is: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Make a handler ``(ctx, [body or query], [headers], [versions], **path)`` answer here.

        Its docstring describes the operation.

        ``answers`` is the frozen record that the handler answers; with status 204 it answers None. With ``query``
        beside ``body``, the same fields may come either way. A body has ``max_body`` bytes at most, and never more than
        ``request_max_bytes``, which is the bound where it is None. ``body=bytes`` hands the body over as it came, and
        ``headers`` those that must be there, by their names here, ``optional_headers`` those that may. A part of the
        path that is a number is written ``{code_id:int}``. An operation that ``creates`` something accepts the header
        Idempotency-Key and then runs once, however often the request is sent; one that ``repeats`` does the same when
        it runs again, and so does not wait for a first run that has not answered. ``download`` is the media type of the
        Download that the handler may answer instead. ``errors`` are those of the use case: the caller's, the body's
        and the database's are added, the last unless the operation never asks the database. What is ``versioned`` is
        answered as Versioned, and a handler that changes it gets the versions that the header If-Match expects, or None
        for any. Of one whose refusals a page shows as they are (``shown_as_is``), a 422 has a sentence as ``detail``.
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
                errors,
                path_parameters or {},
                frozenset(_NUMBER_IN_PATH.findall(path)),
                headers or {},
                creates,
                download,
                asks_database,
                versioned,
                optional_headers or {},
                shown_as_is,
                repeats,
                max_body,
            )
            self.operations.append(stated)
            # HEAD would do what a GET that creates something does, and show nothing of it.
            methods = ["GET", "HEAD"] if method == "GET" and not creates else [method]
            route = path.replace(":int}", ":int>").replace("{", "<").replace("}", ":str>")
            add_route(self.blueprint, _endpoint(stated, handler), route, methods, handler.__name__)
            return handler

        return register


def _endpoint(stated: Operation, handler: Handler) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    is_public = stated.is_public
    write = _writer(stated.answers)

    async def answering(request: Request, request_id: str, path: Mapping[str, Any]) -> Answered:
        runtime: Runtime = request.app.ctx.runtime
        ctx: Context | None = None
        try:
            ctx = await identified(request, runtime, stated.caller, request_id)
            if is_body_left(request):
                await receive_body(request, stated.body_limit(runtime.settings.request_max_bytes))
            if (typed := path.get(SLUG)) is not None and is_slug(meant := typed_text.slug(unquote(typed))):
                path = {**path, SLUG: meant}
            arguments = _arguments(request, ctx, stated, path)
            if stated.creates and (key := request.headers.get("idempotency-key")) is not None:
                handle = partial(_handled, handler, arguments[1:], path)
                run = partial(_run, request, stated, handle, write)
                response = await answered_once(request, ctx, stated.name, key, run, repeats=stated.repeats)
            elif isinstance(answer := await handler(*arguments, **path), Download):
                return Answered(None, await send(request, answer, request_id))
            elif isinstance(answer, EventStream):
                return await stream(request, answer, request_id)
            else:
                response = _response(answer, write, stated.status, request_id)
        except ValidationError as failure:
            response = problem_of(request, request_id, stated.placed(failure))
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            response = problem_of(request, request_id, failure)
        finish(request, response, is_public=is_public, allowance=ctx and ctx.allowance)
        return Answered(response, response.status)

    return observed(stated.method, stated.path, answering)


async def _handled(handler: Handler, read: tuple[Any, ...], path: Mapping[str, Any], ctx: Context) -> Any:
    return await handler(ctx, *read, **path)


async def _run(
    request: Request,
    stated: Operation,
    handle: Callable[[Context], Awaitable[Any]],
    write: Callable[[Any], bytes],
    ctx: Context,
) -> Outcome:
    """What a handler answers under an Idempotency-Key; an error is an answer too."""
    request_id = ctx.request_id or ""
    try:
        response = _response(await handle(ctx), write, stated.status, request_id)
    except ValidationError as failure:
        response = problem_of(request, request_id, failure.placed(stated.place_of))
    except Exception as failure:  # noqa: BLE001 - whatever it is, the caller gets a problem document
        response = problem_of(request, request_id, failure)
    return Outcome(response, response.status)


def _arguments(request: Request, ctx: Context, stated: Operation, path: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a handler gets beside the parts of its path."""
    if stated.numbers_in_path:
        _check_numbers(stated, path)
    arguments: tuple[Any, ...] = (ctx,)
    if stated.body is not None:
        arguments += (_read(request, ctx.runtime, stated),)
    elif stated.query is not None:
        arguments += (read_query(request, stated.query),)
    if stated.headers:
        arguments += (read_headers(request, stated.headers),)
    if stated.optional_headers:
        arguments += ({name: value for name in stated.optional_headers if (value := request.headers.get(name))},)
    return arguments if not stated.expects_versions else (*arguments, expected_versions(request))


def _check_numbers(stated: Operation, path: Mapping[str, Any]) -> None:
    """Nothing has an id that no database can hold."""
    if any(path[name] > MAX_ID for name in stated.numbers_in_path):
        raise NotFoundError


def _writer(answers: type | str | None) -> Callable[[Any], bytes]:
    """What writes an operation's answers as JSON: with members in camelCase where the record says so."""
    if isinstance(answers, str) or answers is None:
        return partial(orjson.dumps, option=orjson.OPT_UTC_Z)
    if hasattr(record_of(answers), "__pydantic_config__"):
        return TypeAdapter[Any](answers).dump_json
    return partial(orjson.dumps, option=orjson.OPT_UTC_Z)


def _response(answer: Any, write: Callable[[Any], bytes], status: int, request_id: str) -> HTTPResponse:
    if isinstance(answer, HTTPResponse):
        answer.headers["x-request-id"] = request_id
        return answer
    if answer is None:
        return HTTPResponse(None, status, {"x-request-id": request_id})
    if isinstance(answer, Versioned | WithHeaders):
        return Answer(write(answer.answer), request_id, status=status, more=answer.headers)
    return Answer(write(answer), request_id, status=status)


def _read(request: Request, runtime: Runtime, stated: Operation) -> BaseModel | bytes:
    body: bytes = request.body
    if stated.query is not None and not body:
        return read_query(request, stated.query)
    model = stated.json_body
    limit = stated.body_limit(runtime.settings.request_max_bytes)
    return body if model is None else read_body(request, model, limit)
