"""Removing rows whose time is over, some at a time, so that no statement outlasts what it may take."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Executable

from app.database.connections import Database

# So many that a transaction of them takes a few hundredths of a second.
ROWS_AT_ONCE: Final = 1000


async def remove_all(database: Database, statement: Executable, **values: Any) -> int:
    """Repeat a deletion of at most ``max_rows`` rows, each time as a transaction; answers how many rows went."""
    removed, last = 0, ROWS_AT_ONCE
    while last == ROWS_AT_ONCE:
        async with database.write_autocommit() as conn:
            last = await conn.affected(statement, **values, max_rows=ROWS_AT_ONCE)
        removed += last
    return removed
