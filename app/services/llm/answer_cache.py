"""Answers that are kept: a question that was answered is not paid for again, and one that is being asked is waited for.

A row with a deadline says who asks. Whoever asks prolongs it, so that only a dead process lets it run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import structlog
from sqlalchemy.exc import IntegrityError

from app.clock import held_at
from app.context import Context
from app.database.removal import remove_all
from app.errors import UnavailableError
from app.runtime import Runtime
from app.services.ledger.accounts import Owner
from app.services.llm.setting_values import Provider
from sql.statements import answer_cache as statements

# How long others wait for whoever asks and does not prolong it; in this time it is prolonged so often.
HOLD_SECONDS = 30.0
RENEWALS: Final = 3
# How often the first of those who wait in a process looks for the answer of another one.
POLL_SECONDS = 0.25
# A text of more bytes (UTF-8) is not kept.
MAX_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


class Question(NamedTuple):
    """Who is asked, and the hash of the whole question."""

    key_hash: bytes
    provider: Provider
    model: str


class Stored(NamedTuple):
    """A kept text, and how another provider has judged it, if one has."""

    text: str
    score: int | None = None
    reason: str | None = None
    judge_provider: str | None = None
    judge_model: str | None = None


class Wanted(NamedTuple):
    """Which texts are served: those not judged below this score, and only judged ones where they are to be judged."""

    minimum_score: int
    needs_score: bool


class Hit(NamedTuple):
    """A kept text that answers the question."""

    question: Question
    stored: Stored


class _Found(NamedTuple):
    text: str | None
    score: int | None
    reason: str | None
    judge_provider: str | None
    judge_model: str | None
    is_held: bool


class _Taken(NamedTuple):
    text: str | None


class _Own(NamedTuple):
    """What a holder knows its row by."""

    of_tenant_id: int | None
    of_key_hash: bytes
    of_holder: str


class Hold:
    """A question that this caller alone asks, or whose kept text it alone judges; ``result`` is what is kept of it.

    At first that is the text that is to be judged. Where it is None in the end, nothing is kept.
    """

    def __init__(self, ctx: Context, question: Question, own: _Own, text: str | None, turn: asyncio.Lock) -> None:
        self.question = question
        self.result = None if text is None else Stored(text)
        self._ctx = ctx
        self._own = own
        self._turn = turn

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Prolong the hold during the block; then keep the result and let the others go on, also after a failure."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await self._ctx.runtime.to_its_end(self._end())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(HOLD_SECONDS / RENEWALS)
            with contextlib.suppress(UnavailableError):
                async with self._ctx.write_autocommit() as conn:
                    await conn.affected(statements.renew_question, **self._own._asdict(), until=_deadline(self._ctx))

    async def _end(self) -> None:
        try:
            await _keep(self._ctx, self._own, self.result)
        finally:
            self._turn.release()


async def open_question(
    ctx: Context, owner: Owner, question_now: Callable[[], Question], wanted: Wanted
) -> Hit | Hold | None:
    """The kept answer, or the right to ask; None after as long as an attempt may take: then nothing is kept of it.

    ``question_now`` is asked again after each wait, because a provider that has failed meanwhile is not the first any
    more. Whoever waits holds no connection. In a process one waits for another process and the others for that one.
    """
    settings, loop = ctx.runtime.settings, asyncio.get_running_loop()
    ends_at = loop.time() + settings.budget_wait_seconds + settings.provider_timeout_seconds
    while loop.time() < ends_at:
        question = question_now()
        turn = _turn(ctx.runtime, question.key_hash)
        if not await _has_come(turn, ends_at):
            break
        found: Hit | Hold | None = None
        try:
            if question == question_now():
                found = await _found_or_taken(ctx, owner, question, wanted, turn)
                if found is None:
                    await asyncio.sleep(POLL_SECONDS)
        except IntegrityError:
            # The project has been deleted since the call began.
            return None
        finally:
            if not isinstance(found, Hold):
                turn.release()
        if found is not None:
            return found
    return None


async def keep_under(ctx: Context, owner: Owner, question: Question, stored: Stored, wanted: Wanted) -> None:
    """Keep the answer of a provider that was not asked first, unless there is one or it is being asked."""
    with contextlib.suppress(UnavailableError, IntegrityError):
        own = _own(owner, question)
        if await _take(ctx, owner, own, wanted) is not None:
            await _keep(ctx, own, stored)


async def remove_answers(ctx: Context) -> int:
    """Remove the answers older than the configured days, and questions that nobody has answered; answers how many."""
    times = _times(ctx)
    db, unanswered = ctx.runtime.db, held_at(times["now"])
    old = await remove_all(db, statements.delete_old_answers, kept_since=times["kept_since"])
    return old + await remove_all(db, statements.delete_unanswered, **unanswered)


async def _found_or_taken(
    ctx: Context, owner: Owner, question: Question, wanted: Wanted, turn: asyncio.Lock
) -> Hit | Hold | None:
    """None while another process asks."""
    async with ctx.read() as conn:
        found = await conn.maybe(
            statements.answer_by_key,
            _Found,
            of_tenant_id=owner.tenant_id,
            key_hash=question.key_hash,
            **_times(ctx),
            minimum_score=wanted.minimum_score,
        )
    if found is not None:
        if found.text is not None and (found.score is not None or not wanted.needs_score):
            stored = Stored(found.text, found.score, found.reason, found.judge_provider, found.judge_model)
            return Hit(question, stored)
        if found.is_held:
            return None
    own = _own(owner, question)
    taken = await _take(ctx, owner, own, wanted)
    return None if taken is None else Hold(ctx, question, own, taken.text, turn)


def _own(owner: Owner, question: Question) -> _Own:
    return _Own(owner.tenant_id, question.key_hash, uuid.uuid4().hex)


async def _take(ctx: Context, owner: Owner, own: _Own, wanted: Wanted) -> _Taken | None:
    async with ctx.write_autocommit() as conn:
        return await conn.maybe(
            statements.hold_question,
            _Taken,
            key_hash=own.of_key_hash,
            tenant_id=own.of_tenant_id,
            of_tenant_id=own.of_tenant_id,
            project_id=owner.project_id,
            holder=own.of_holder,
            held_until=_deadline(ctx),
            **_times(ctx),
            **wanted._asdict(),
        )


async def _keep(ctx: Context, own: _Own, stored: Stored | None) -> None:
    """Keep what may be kept, and end the hold; where the database cannot be reached its deadline does."""
    try:
        async with ctx.write_autocommit() as conn:
            if stored is None or not _can_be_kept(stored.text):
                await conn.affected(statements.drop_question, **own._asdict())
            else:
                values = {f"new_{name}": value for name, value in stored._asdict().items()}
                await conn.affected(statements.keep_answer, **own._asdict(), **values, now=ctx.now())
    except UnavailableError as failure:
        log.warning("model_answer_not_kept", reason=failure.detail)


def _can_be_kept(text: str) -> bool:
    """Whether both databases keep a text as it is: PostgreSQL no NUL, and neither half a character."""
    try:
        return bool(text) and "\0" not in text and len(text.encode()) <= MAX_BYTES
    except UnicodeEncodeError:
        return False


def _times(ctx: Context) -> dict[str, datetime]:
    now = ctx.now()
    return {**held_at(now), "kept_since": now - timedelta(days=ctx.runtime.settings.model_answer_retention_days)}


def _deadline(ctx: Context) -> datetime:
    return ctx.now() + timedelta(seconds=HOLD_SECONDS)


# Whose turn it is in this process, for each question that somebody has open.
_turns: WeakKeyDictionary[Runtime, WeakValueDictionary[bytes, asyncio.Lock]] = WeakKeyDictionary()


def _turn(runtime: Runtime, key_hash: bytes) -> asyncio.Lock:
    return _turns.setdefault(runtime, WeakValueDictionary()).setdefault(key_hash, asyncio.Lock())


async def _has_come(turn: asyncio.Lock, ends_at: float) -> bool:
    try:
        async with asyncio.timeout_at(ends_at):
            return await turn.acquire()
    except TimeoutError:
        return False
