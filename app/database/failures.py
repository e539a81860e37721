"""Interpreting failures of the database: the violated constraint, an outage, or a conflict."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final, get_args

import asyncpg
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import DatabaseConflictError, DatabaseUnavailableError, RowLockedError
from sql.tables import metadata

# What SQLite says of a file, or a file system, that may only be read.
READ_ONLY: Final = "readonly database"
MAX_CAUSE: Final = 200


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
    if isinstance(failure, PoolTimeoutError | OSError | TimeoutError | asyncpg.InterfaceError | _STATES):
        raise DatabaseUnavailableError from failure
    if not isinstance(failure, DBAPIError) or isinstance(failure.orig and failure.orig.__cause__, ValueError):
        return
    if _is_caused_by(failure, (asyncpg.LockNotAvailableError,)):
        raise RowLockedError from failure
    if _is_caused_by(failure, _CONFLICTS):
        raise DatabaseConflictError from failure
    if (
        isinstance(failure, OperationalError | InterfaceError)
        or failure.connection_invalidated
        or _is_caused_by(failure, _OUTAGES)
    ):
        raise DatabaseUnavailableError from failure


def is_read_only(failure: BaseException) -> bool:
    """Whether a change was refused because its connection, or what it leads to, may only read."""
    if _is_caused_by(failure, (asyncpg.ReadOnlySQLTransactionError,)):
        return True
    return any(isinstance(cause, sqlite3.OperationalError) and READ_ONLY in str(cause) for cause in _causes(failure))


def cause_of(failure: BaseException) -> str | None:
    """What an outage was caused by, for the log: kind, state and the first line of the message; None without a cause.

    The statement and its parameters are no part of it.
    """
    *_, root = _causes(failure)
    if root is failure:
        return None
    text = root.strerror if isinstance(root, OSError) and root.strerror else str(root)
    kind = " ".join(filter(None, (type(root).__name__, getattr(root, "sqlstate", None))))
    return f"{kind}: {(text.splitlines() or [''])[0]}"[:MAX_CAUSE]


# States of PostgreSQL that are no fault of a statement: the connection is gone; a disk, memory or a limit of the server
# is used up; it starts, stops or was told to end this; its files cannot be read or written; it only reads at present.
_STATES = (
    asyncpg.PostgresConnectionError
    | asyncpg.InsufficientResourcesError
    | asyncpg.OperatorInterventionError
    | asyncpg.PostgresSystemError
    | asyncpg.ReadOnlySQLTransactionError
    | asyncpg.IdleInTransactionSessionTimeoutError
)
_OUTAGES = (*get_args(_STATES), asyncpg.InterfaceError, sqlite3.OperationalError)

# PostgreSQL ends one of the transactions in a deadlock (40P01), and a transaction whose snapshot is too old (40001).
_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


def _is_caused_by(failure: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(failure))


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The failure, and what it was raised from, to the driver's own error."""
    cause: BaseException | None = failure
    while cause is not None:
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__
