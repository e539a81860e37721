"""Answering a request that may be repeated: run once, and its answer kept for whoever sends it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.database.key_holds import KeyHold
from app.errors import IdempotencyRunningError, ValidationError
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, run_held, settle
from blueprints.web.answers import Answer

KEPT_HEADERS = ("content-disposition", "location")

log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """An answer, and the status by which it is kept or not; the answer itself may have another one."""

    response: HTTPResponse
    status: int


async def answered_once(
    request: Request,
    ctx: Context,
    operation: str,
    key: str,
    run: Callable[[Context], Awaitable[Outcome]],
    *,
    repeats: bool = False,
) -> HTTPResponse:
    """The answer of ``run``, or the one that an earlier request with this key got.

    ``run`` gets the context that holds the key, and answers its errors too. It runs on when the caller hangs up: what
    it has created must be found under its key when the caller comes back. With ``repeats`` a second run does the same
    as the first: then nobody waits for a first one that has not answered, because its worker may be dead.
    """
    address = f"{request.path}?{request.query_string}"
    repeatable = Repeatable(operation, key, request.method, address, request.body)
    return await ctx.runtime.to_its_end(_once(ctx, repeatable, run, repeats=repeats))


async def _once(
    ctx: Context, repeatable: Repeatable, run: Callable[[Context], Awaitable[Outcome]], *, repeats: bool
) -> HTTPResponse:
    try:
        held = await hold_key(ctx, repeatable)
    except IdempotencyRunningError:
        if not repeats:
            raise
        return (await run(ctx)).response
    except ValidationError as failure:
        raise failure.placed(lambda _: "header") from None
    if isinstance(held, KeptAnswer):
        return _replayed(held, ctx.request_id or "")
    outcome = await run_held(ctx, held, _run(run, ctx._replace(key_hold=held)))
    await _settle(ctx, held, outcome)
    return outcome.response


async def _run(run: Callable[[Context], Awaitable[Outcome]], ctx: Context) -> Outcome:
    return await run(ctx)


async def _settle(ctx: Context, hold: KeyHold, outcome: Outcome) -> None:
    """Keep the answer; it is given even if that fails, because what it tells has happened."""
    response = outcome.response
    sent = response.more or {} if isinstance(response, Answer) else response.headers
    headers = {name: str(sent[name]) for name in KEPT_HEADERS if name in sent}
    answer = KeptAnswer(response.status, response.content_type or "", headers, response.body or b"")
    try:
        await settle(ctx, hold, answer, outcome=outcome.status)
    except Exception as failure:  # noqa: BLE001 - the work is committed, and its answer must be given
        log.warning("idempotent_answer_not_kept", reason=type(failure).__name__, request_id=ctx.request_id)


def _replayed(kept: KeptAnswer, request_id: str) -> HTTPResponse:
    more = {**kept.headers, "idempotent-replayed": "true"}
    if not kept.body:
        return HTTPResponse(None, kept.status, {**more, "x-request-id": request_id})
    return Answer(kept.body, request_id, status=kept.status, media_type=kept.media_type, more=more)
