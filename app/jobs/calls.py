"""Calls for errands: how a process without a durable engine asks those that have one.

A call is a row. A notification would be lost while a work process is being replaced, and needs a connection that only
listens; a row waits until somebody works again, is the same on both databases, and tells by its age that nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from app.database.connections import as_batch
from app.errors import UnavailableError
from app.runtime import Coalesced, Runtime
from sql.statements import workers

log = structlog.get_logger(__name__)


class Call(NamedTuple):
    """A call that waits for a process that works."""

    id: int
    errand: str
    row_id: int


def call_for_errands(runtime: Runtime) -> None:
    """Let ``runtime.enqueue`` call for errands: for a process that runs none itself."""

    def enqueue(errand: str, row_id: int) -> None:
        try:
            stored = runtime.coalescer(CALLS).put((errand, row_id))
        except UnavailableError as failure:
            _leave_to_the_sweep(errand, row_id, failure)
        else:
            _ = runtime.begin(_end(stored, errand, row_id))

    runtime.enqueue = enqueue


async def _end(stored: asyncio.Future[None], errand: str, row_id: int) -> None:
    try:
        await stored
    except Exception as failure:  # noqa: BLE001 - the row is committed, so the sweep finds it
        _leave_to_the_sweep(errand, row_id, failure)


def _leave_to_the_sweep(errand: str, row_id: int, failure: Exception) -> None:
    log.warning("errand_not_enqueued", errand=errand, row=row_id, reason=str(failure))


async def _store(runtime: Runtime, calls: Sequence[tuple[str, int]]) -> Sequence[None]:
    batch = as_batch([{"errand": errand, "row_id": row_id} for errand, row_id in calls])
    async with runtime.db.write_autocommit() as conn:
        await conn.affected(workers.insert_errand_calls, batch=batch, now=runtime.clock.now())
    return [None] * len(calls)


CALLS = Coalesced("errand_calls", _store, lanes=1)
