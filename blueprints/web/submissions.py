"""A form that makes something: however often it is sent, by a second click or by a reload, it makes it once."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
import structlog
from sanic import Request

from app.context import Context
from app.database.key_holds import KeyHold
from app.errors import FormRefusedError, IdempotencyRunningError, PortalError
from app.services.idempotency import KeptAnswer, Repeatable, hold_key, release, run_held, settle

Made = TypeVar("Made")

KEY_FIELD = "form_key"
_KEY = re.compile(r"[0-9a-f]{32}")
# A browser shows the answer to the second of two clicks, so that one waits for what the first has made.
ATTEMPTS = 20
PAUSE_SECONDS = 0.25

log = structlog.get_logger(__name__)


def new_form_key() -> str:
    """What the hidden field ``form_key`` of such a form holds: another one each time the form is shown."""
    return secrets.token_hex(16)


async def made_once(
    request: Request, ctx: Context, form: Mapping[str, str], make: Callable[[Context], Coroutine[Any, Any, Made]]
) -> Made:
    """What ``make`` answers, as JSON holds it, or what it answered when this form was sent for the first time.

    ``make`` gets the context that holds the form's key, and runs on when the browser hangs up. Raises FormRefusedError
    for a form without a key, ConflictError when other values were sent with it or its first answer is not there.
    """
    if not _KEY.fullmatch(form.get(KEY_FIELD, "")):
        raise FormRefusedError
    sent = Repeatable(request.path, form[KEY_FIELD], request.method, request.path, orjson.dumps(sorted(form.items())))
    return await ctx.runtime.to_its_end(_made_once(ctx, sent, make))


async def _made_once(ctx: Context, sent: Repeatable, make: Callable[[Context], Coroutine[Any, Any, Made]]) -> Made:
    held = await _held(ctx, sent)
    if isinstance(held, KeptAnswer):
        kept: Made = orjson.loads(held.body)
        return kept
    try:
        made = await run_held(ctx, held, make(ctx._replace(key_hold=held)))
    except Exception:
        await release(ctx, held)
        raise
    try:
        await settle(ctx, held, KeptAnswer(200, "application/json", {}, orjson.dumps(made)))
    except PortalError as failure:
        # It is shown even so, because it was made.
        log.warning("submission_not_kept", code=failure.code, request_id=ctx.request_id)
    return made


async def _held(ctx: Context, sent: Repeatable) -> KeyHold | KeptAnswer:
    for _ in range(ATTEMPTS):
        try:
            return await hold_key(ctx, sent)
        except IdempotencyRunningError:
            await asyncio.sleep(PAUSE_SECONDS)
    return await hold_key(ctx, sent)
