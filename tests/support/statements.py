"""Counting SQL statements."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from app.database.connections import Database


@contextlib.contextmanager
def counted_statements(db: Database) -> Iterator[list[str]]:
    """The statements that reach the database meanwhile; BEGIN and COMMIT are not among them."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement != "BEGIN IMMEDIATE":
            seen.append(statement)

    engines = (db.reader.sync_engine, db.writer.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
