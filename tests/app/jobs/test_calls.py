"""Calls for errands: what a process without a durable engine asks for is done by one that has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import CapturingLogger
from support.jobs import Place, job_place, launched, until
from support.statements import counted_statements

from app.context import Context
from app.errors import DatabaseUnavailableError
from app.jobs import calls as calls_of_errands
from app.jobs.calls import call_for_errands
from app.jobs.work import Errand
from app.runtime import Runtime
from sql.tables import errand_calls


@pytest.fixture
async def place(database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with job_place(database, tmp_path) as place:
        yield place


@contextlib.asynccontextmanager
async def calling_process(place: Place) -> AsyncIterator[Runtime]:
    """A process that answers requests, and leaves errands to others."""
    runtime = Runtime(place.settings())
    call_for_errands(runtime)
    try:
        yield runtime
        await runtime.drain()
    finally:
        await runtime.close()


async def nothing_waits(ctx: Context) -> Sequence[int]:
    """No row for a sweep: only what was called for is done."""
    return []


async def calls(place: Place) -> list[Any]:
    return await place.rows(select(errand_calls.c.errand, errand_calls.c.row_id).order_by(errand_calls.c.id))


async def test_an_errand_that_another_process_calls_for_is_done_once_and_its_call_goes(place: Place) -> None:
    done: Counter[int] = Counter()

    async def run(ctx: Context, row_id: int) -> Mapping[str, object]:
        done[row_id] += 1
        return {}

    errands = [Errand("note", run, nothing_waits)]
    async with calling_process(place) as caller:
        caller.enqueue("note", 1)
        async with launched(place.settings(), errands=errands):

            async def are_done(*row_ids: int) -> bool:
                return set(row_ids) <= done.keys() and not await calls(place)

            # Called for before anybody worked.
            await until(lambda: are_done(1))
            for row_id in (2, 3, 2):
                caller.enqueue("note", row_id)
            await until(lambda: are_done(2, 3))

    assert done == {1: 1, 2: 1, 3: 1}


async def test_calls_wait_for_whoever_works_next_and_share_statements(place: Place) -> None:
    async with calling_process(place) as caller:
        with counted_statements(caller.db) as statements:
            for row_id in range(50):
                caller.enqueue("note", row_id)
            await caller.drain()

    assert len(statements) == 1
    assert await calls(place) == [("note", row_id) for row_id in range(50)]


async def test_a_call_that_cannot_be_stored_is_left_to_the_sweep(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> object:
        raise DatabaseUnavailableError

    async with calling_process(place) as caller:
        monkeypatch.setattr(caller.db, "write_autocommit", away)
        # Whatever level of the log an earlier test has set.
        logged = CapturingLogger()
        monkeypatch.setattr(calls_of_errands, "log", logged)
        caller.enqueue("note", 7)
        await caller.drain()
        await asyncio.sleep(0)

    (told,) = logged.calls
    assert (told.method_name, told.args) == ("warning", ("errand_not_enqueued",))
    assert (told.kwargs["errand"], told.kwargs["row"]) == ("note", 7)
    assert await calls(place) == []
