"""What a failure of the database means: which named constraint was violated, and whether it is an outage."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import asyncpg
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import DatabaseConflictError, DatabaseUnavailableError
from sql.tables import metadata


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the unique constraint a change ran into, or None if it was something else."""
    cause: BaseException | None = error.orig
    while cause is not None:
        if name := getattr(cause, "constraint_name", None):
            return str(name)
        cause = cause.__cause__
    # SQLite names the columns ("tenants.slug"), and knows a constraint's name only for checks.
    columns = str(error.orig).partition("UNIQUE constraint failed: ")[2]
    return _UNIQUE_BY_COLUMNS.get(columns)


def _unique_by_columns() -> dict[str, str]:
    uniques: list[UniqueConstraint | Index] = []
    for table in metadata.tables.values():
        uniques += [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
        uniques += [index for index in table.indexes if index.unique]
    return {
        ", ".join(f"{column.table.name}.{column.name}" for column in unique.columns): str(unique.name)
        for unique in uniques
    }


_UNIQUE_BY_COLUMNS = _unique_by_columns()


@contextlib.contextmanager
def outages() -> Iterator[None]:
    """Turn a database that does not answer, or undoes what met another change, into the error that says so."""
    try:
        yield
    except Exception as failure:
        raise_outage(failure)
        raise


def raise_outage(failure: BaseException) -> None:
    """Raise what a failure of the database means to whoever asked; whatever else it is, do nothing."""
    if isinstance(
        failure,
        PoolTimeoutError | OSError | TimeoutError | asyncpg.PostgresConnectionError | asyncpg.InterfaceError,
    ):
        raise DatabaseUnavailableError from failure
    if not isinstance(failure, DBAPIError) or isinstance(failure.orig and failure.orig.__cause__, ValueError):
        return
    if _comes_from(failure, _UNDONE):
        raise DatabaseConflictError from failure
    if (
        isinstance(failure, OperationalError | InterfaceError)
        or failure.connection_invalidated
        or _comes_from(failure, _GONE)
    ):
        raise DatabaseUnavailableError from failure


_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.InterfaceError,
    sqlite3.OperationalError,
)


# Of transactions that wait for each other one is ended (40P01); the other (40001) is the same said of snapshots.
_UNDONE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


def _comes_from(failure: DBAPIError, kinds: tuple[type[Exception], ...]) -> bool:
    cause: BaseException | None = failure.orig
    while cause is not None:
        if isinstance(cause, kinds):
            return True
        cause = cause.__cause__
    return False
