"""Counting SQL statements, and letting requests share them for certain."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from sqlalchemy import event

from app.database.connections import Database
from app.runtime import Coalesced, Runtime


@contextlib.contextmanager
def counted_statements(db: Database) -> Iterator[list[str]]:
    """The statements that reach the database meanwhile.

    BEGIN and COMMIT are not among them, nor the doorbell's rings, which go out some time after a commit, nor the look
    at the clock of Stripe's simulator, once a second.
    """
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement != "BEGIN IMMEDIATE" and "pg_notify" not in statement and "FROM billing_clock" not in statement:
            seen.append(statement)

    engines = (db.reader.sync_engine, db.writer.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@contextlib.contextmanager
def asked_together(runtime: Runtime, question: Coalesced[Any, Any], requests: int) -> Iterator[int]:
    """Answer nobody's shared question before so many requests have asked it; says how many statements they share.

    Those are one for each lane, which takes whoever has asked until it begins, and one for all who came later.
    """
    queue = runtime.coalescer(question)
    ask, run = queue.ask, queue._run
    all_have_asked = asyncio.Event()
    arrivals = itertools.count(1)

    async def count_and_ask(item: Any, weight: int = 1) -> Any:
        if next(arrivals) == requests:
            all_have_asked.set()
        return await ask(item, weight)

    async def wait_and_run(items: Sequence[Any]) -> Sequence[Any]:
        await all_have_asked.wait()
        return await run(items)

    with patch.object(queue, "ask", count_and_ask), patch.object(queue, "_run", wait_and_run):
        yield queue._lanes + 1
    assert all_have_asked.is_set()
