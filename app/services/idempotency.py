"""Requests that may be repeated: one with the same key gets the first answer again, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.access.keys import NONCE_BYTES
from app.clock import held_at
from app.context import Actor, Context
from app.database.key_holds import KeyHold
from app.database.removal import remove_all
from app.errors import (
    IdempotencyAnswerLostError,
    IdempotencyConflictError,
    IdempotencyRunningError,
    UnavailableError,
    ValidationError,
)
from app.settings import Settings
from sql.statements import idempotency as statements

KEY_HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
_KEY = re.compile(r"[!-~]{1,255}")
# The holder may release a key between our attempt to take it and our look at its answer.
ATTEMPTS = 3
# In the time that an answer may take.
RENEWALS = 3

Answered = TypeVar("Answered")

log = structlog.get_logger(__name__)
# Answers from here on are refusals or faults, which change nothing: a repeat is judged anew.
REFUSED = 400
# Answers to the moment or to the caller, and not to the request itself.
NEVER_KEPT = frozenset({401, 408, 429, 499})


class Repeatable(NamedTuple):
    """One request: the operation's name, the key its caller chose, and what makes it this request and no other."""

    operation: str
    key: str
    method: str
    address: str
    body: bytes


class KeptAnswer(NamedTuple):
    """An answer as it is kept; ``headers`` are those that belong to what was created."""

    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes


class _Stored(NamedTuple):
    request_hash: bytes
    sealed_answer: bytes | None
    is_lost: bool


async def hold_key(ctx: Context, request: Repeatable) -> KeyHold | KeptAnswer:
    """Take the key for this request, or answer what its first run has answered.

    A hold lasts for ``hold_seconds``, so that a server that dies does not keep the key for a day; ``run_held`` renews
    it. Raises ValidationError for a malformed key, IdempotencyConflictError when another request was sent with it,
    IdempotencyRunningError while the first one runs, and IdempotencyAnswerLostError where the first one has committed
    and its server died before it answered.
    """
    if not _KEY.fullmatch(request.key):
        message = f"must be 1 to {MAX_KEY_LENGTH} visible ASCII characters"
        raise ValidationError.of(KEY_HEADER, message, kind="idempotency_key")
    keys, settings = ctx.runtime.keys, ctx.runtime.settings
    key_hash = keys.request_hash(*(part.encode() for part in (_owner(ctx), request.operation, request.key)))
    request_hash = keys.request_hash(request.method.encode(), request.address.encode(), request.body)
    cipher = keys.answer_cipher(request.key)
    duration = timedelta(seconds=hold_seconds(settings))
    for _ in range(ATTEMPTS):
        now = ctx.now()
        async with ctx.write_autocommit() as conn:
            is_taken = await conn.affected(
                statements.hold_key,
                key_hash=key_hash,
                request_hash=request_hash,
                held_until=now + duration,
                expires_at=now + timedelta(hours=settings.idempotency_hours),
                **held_at(now),
            )
        if is_taken:
            return KeyHold(key_hash, now, duration, cipher)
        async with ctx.read() as conn:
            stored = await conn.maybe(statements.answer_of_key, _Stored, key_hash=key_hash, **held_at(now))
        if stored is not None:
            return _answer(stored, request_hash, key_hash, cipher)
    raise IdempotencyRunningError(retry_after=1)


def hold_seconds(settings: Settings) -> float:
    """How long a hold lasts: long enough for a request at work to renew it, however slow the database is."""
    return settings.response_timeout_seconds + settings.pool_timeout_seconds + settings.statement_timeout_seconds


async def run_held(ctx: Context, hold: KeyHold, work: Coroutine[Any, Any, Answered]) -> Answered:
    """Run the work and renew the hold meanwhile, so that no repeat of the request does the same.

    Work whose hold is lost, because the database could not be reached for so long, is cancelled: raises
    IdempotencyRunningError.
    """
    task = asyncio.create_task(work)
    pause = ctx.runtime.settings.response_timeout_seconds / RENEWALS
    # The work ends before a repeat may take the key.
    sure_for = hold.duration - timedelta(seconds=pause)
    sure_until = hold.held_since + sure_for
    try:
        while not (await asyncio.wait({task}, timeout=pause))[0]:
            asked_at = ctx.now()
            is_ours = await _renewed(ctx, hold, within=max(pause, (sure_until - asked_at).total_seconds()))
            if is_ours:
                sure_until = asked_at + sure_for
            elif not task.done() and (is_ours is False or ctx.now() >= sure_until):
                log.error("idempotent_work_ended", request_id=ctx.request_id)
                raise IdempotencyRunningError(retry_after=1)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _renewed(ctx: Context, hold: KeyHold, *, within: float) -> bool | None:
    """Prolong the hold; False if it is no longer ours, None where the database could not be asked."""
    new_held_until = ctx.now() + hold.duration
    own = {"of_key_hash": hold.key_hash, "of_created_at": hold.held_since}
    try:
        async with asyncio.timeout(within), ctx.write_autocommit() as conn:
            return await conn.affected(statements.renew_hold, **own, new_held_until=new_held_until) > 0
    except (TimeoutError, UnavailableError):
        return None


async def settle(ctx: Context, hold: KeyHold, answer: KeptAnswer, *, outcome: int | None = None) -> None:
    """Store the answer, or release the key when it is a refusal: strangers are refused as often as they like.

    ``outcome`` is the status that says so, where it is not the answer's own.

    A key under which something was committed is not released, whatever was answered: a connection may be lost while the
    database commits, and then nobody knows whether it has. A refusal that has changed something is kept instead.
    """
    status = answer.status if outcome is None else outcome
    if status >= REFUSED and (await release(ctx, hold) or status >= 500 or status in NEVER_KEPT):
        return
    own = {"of_key_hash": hold.key_hash, "of_created_at": hold.held_since}
    nonce = os.urandom(NONCE_BYTES)
    plain = orjson.dumps([answer.status, answer.media_type, answer.headers]) + b"\n" + answer.body
    sealed = nonce + hold.cipher.encrypt(nonce, plain, hold.key_hash)
    async with ctx.write_autocommit() as conn:
        await conn.affected(statements.keep_answer, sealed_answer=sealed, **own)


async def release(ctx: Context, hold: KeyHold) -> bool:
    """Give the key up, so that a repeat runs; False for one under which something was committed."""
    own = {"of_key_hash": hold.key_hash, "of_created_at": hold.held_since}
    async with ctx.write_autocommit() as conn:
        return await conn.affected(statements.release_key, **own) > 0


async def purge_idempotent_answers(ctx: Context) -> Mapping[str, object]:
    """Remove the answers that have passed their age."""
    return {"idempotent_answers": await remove_all(ctx.runtime.db, statements.delete_expired_answers, now=ctx.now())}


def _answer(stored: _Stored, request_hash: bytes, key_hash: bytes, cipher: AESGCM) -> KeptAnswer:
    if stored.request_hash != request_hash:
        raise IdempotencyConflictError
    if (sealed := stored.sealed_answer) is None:
        if stored.is_lost:
            raise IdempotencyAnswerLostError
        raise IdempotencyRunningError(retry_after=1)
    try:
        plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key_hash)
    except InvalidTag:
        # Sealed under another secret key of ours, which makes other hashes too: no request leads here.
        raise IdempotencyConflictError from None
    head, _, body = plain.partition(b"\n")
    status, media_type, headers = orjson.loads(head)
    return KeptAnswer(status, media_type, headers, body)


def _owner(ctx: Context) -> str:
    """The caller whose key it is: another caller who chooses the same key has another one.

    Visitors are distinguished by their addresses only; an answer is repeated only to the same request, secrets and all.
    """
    actor: Actor = ctx.actor
    if actor.tenant_id is not None:
        return f"{actor.type} {actor.tenant_id} {actor.device_id}"
    if actor.id is not None:
        return f"{actor.type} {actor.id}"
    return f"anyone {ctx.address}"
