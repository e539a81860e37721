"""Several processes of tests on one PostgreSQL server: what they would notice of each other."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.util import await_only

# What a statement says that looks only at what every transaction of the server has left behind, whoever's it is.
HORIZON = "pg_snapshot_xmin"
# Two that hold a transaction open while they read would wait for each other.
PATIENCE_SECONDS = 30.0


def has_neighbours() -> bool:
    """Whether other processes of this run use the same server."""
    return "TEST_DATABASE_URL" in os.environ and int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1


@contextlib.contextmanager
def undisturbed_horizon() -> Iterator[None]:
    """Before the trail of events is read, let the transactions end that neighbours have begun in other databases.

    Those that begin later are younger than everything that a test has written, and hide nothing of it.
    """
    event.listen(Engine, "before_cursor_execute", _let_neighbours_end)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", _let_neighbours_end)


@contextlib.contextmanager
def place_among_neighbours(folder: Path, *, alone: bool) -> Iterator[None]:
    """Run beside others, or with the whole server to oneself.

    Who waits to be alone stands in the door, so that it waits only for those inside: others would keep coming.
    """
    with (folder / "neighbours").open("a") as room:
        with (folder / "door").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _let_neighbours_end(conn: Connection, cursor: Any, statement: str, *rest: Any) -> None:
    if HORIZON not in statement:
        return
    awaited, deadline = _running_elsewhere(conn), time.monotonic() + PATIENCE_SECONDS
    while awaited and time.monotonic() < deadline:
        await_only(asyncio.sleep(0.002))
        awaited &= _running_elsewhere(conn)


def _running_elsewhere(conn: Connection) -> set[str]:
    """The numbers of transactions in other databases that have written something and go on."""
    cursor = conn.connection.cursor()
    try:
        # Within a transaction the server would answer the same again.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT CAST(backend_xid AS TEXT) FROM pg_stat_activity"
            " WHERE datname <> current_database() AND backend_xid IS NOT NULL"
        )
        return {row[0] for row in cursor.fetchall()}
    finally:
        cursor.close()
