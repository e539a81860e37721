"""Answering a request that may be repeated: run once, and its answer kept for whoever sends it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.contract.api_document import Operation
from app.database.key_holds import KeyHold
from app.errors import ValidationError
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, run_held, settle
from blueprints.web.answers import Answer
from blueprints.web.problems import problem_of

KEPT_HEADERS = ("content-disposition", "location")

log = structlog.get_logger(__name__)


async def answered_once(
    request: Request, ctx: Context, stated: Operation, key: str, run: Callable[[Context], Awaitable[HTTPResponse]]
) -> HTTPResponse:
    """The answer of ``run``, or the one that an earlier request with this key got.

    ``run`` gets the context that holds the key. It runs on when the caller hangs up: what it has created must be found
    under its key when the caller comes back.
    """
    address = f"{request.path}?{request.query_string}"
    repeatable = Repeatable(stated.name, key, request.method, address, request.body)
    return await ctx.runtime.to_its_end(_once(request, ctx, stated, repeatable, run))


async def _once(
    request: Request,
    ctx: Context,
    stated: Operation,
    repeatable: Repeatable,
    run: Callable[[Context], Awaitable[HTTPResponse]],
) -> HTTPResponse:
    try:
        held = await hold_key(ctx, repeatable)
    except ValidationError as failure:
        raise failure.placed(lambda _: "header") from None
    if isinstance(held, KeptAnswer):
        return _replayed(held, ctx.request_id or "")
    response = await run_held(ctx, held, _answered(request, ctx._replace(key_hold=held), stated, run))
    await _settle(ctx, held, response)
    return response


async def _answered(
    request: Request, ctx: Context, stated: Operation, run: Callable[[Context], Awaitable[HTTPResponse]]
) -> HTTPResponse:
    try:
        return await run(ctx)
    except ValidationError as failure:
        return problem_of(request, ctx.request_id or "", failure.placed(stated.place_of))
    except Exception as failure:  # noqa: BLE001 - an error is an answer too
        return problem_of(request, ctx.request_id or "", failure)


async def _settle(ctx: Context, hold: KeyHold, response: HTTPResponse) -> None:
    """Keep the answer; it is given even if that fails, because what it tells has happened."""
    sent = response.more or {} if isinstance(response, Answer) else response.headers
    headers = {name: str(sent[name]) for name in KEPT_HEADERS if name in sent}
    answer = KeptAnswer(response.status, response.content_type or "", headers, response.body or b"")
    try:
        await settle(ctx, hold, answer)
    except Exception as failure:  # noqa: BLE001 - the work is committed, and its answer must be given
        log.warning("idempotent_answer_not_kept", reason=type(failure).__name__, request_id=ctx.request_id)


def _replayed(kept: KeptAnswer, request_id: str) -> HTTPResponse:
    more = {**kept.headers, "idempotent-replayed": "true"}
    if not kept.body:
        return HTTPResponse(None, kept.status, {**more, "x-request-id": request_id})
    return Answer(kept.body, request_id, status=kept.status, media_type=kept.media_type, more=more)
