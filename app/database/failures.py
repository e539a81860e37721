"""Interpreting failures of the database: the violated constraint, an outage, or a conflict."""

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
    """The name of the unique or check constraint that a change violated, or None for any other failure."""
    cause: BaseException | None = error.orig
    while cause is not None:
        if name := getattr(cause, "constraint_name", None):
            return str(name)
        cause = cause.__cause__
    # SQLite reports the columns ("tenants.slug"), and the name of the constraint only for checks.
    if check := str(error.orig).partition("CHECK constraint failed: ")[2]:
        return check
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
    """Raise DatabaseUnavailableError for an outage in the block, DatabaseConflictError for a deadlock or a conflict."""
    try:
        yield
    except Exception as failure:
        raise_outage(failure)
        raise


def raise_outage(failure: BaseException) -> None:
    """Raise the portal's error for an outage or a conflict of the database; return for any other failure."""
    if isinstance(
        failure,
        PoolTimeoutError | OSError | TimeoutError | asyncpg.PostgresConnectionError | asyncpg.InterfaceError,
    ):
        raise DatabaseUnavailableError from failure
    if not isinstance(failure, DBAPIError) or isinstance(failure.orig and failure.orig.__cause__, ValueError):
        return
    if _is_caused_by(failure, _CONFLICTS):
        raise DatabaseConflictError from failure
    if (
        isinstance(failure, OperationalError | InterfaceError)
        or failure.connection_invalidated
        or _is_caused_by(failure, _OUTAGES)
    ):
        raise DatabaseUnavailableError from failure


_OUTAGES = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.InterfaceError,
    sqlite3.OperationalError,
)


# PostgreSQL ends one of the transactions in a deadlock (40P01), and a transaction whose snapshot is too old (40001).
_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


def _is_caused_by(failure: DBAPIError, kinds: tuple[type[Exception], ...]) -> bool:
    cause: BaseException | None = failure.orig
    while cause is not None:
        if isinstance(cause, kinds):
            return True
        cause = cause.__cause__
    return False
