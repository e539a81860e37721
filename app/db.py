"""Two kinds of connection, reads that commit by themselves and write transactions, and four ways to fetch."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import asyncpg
import orjson
from sqlalchemy import CursorResult, Executable, Index, UniqueConstraint, event
from sqlalchemy.engine import URL, Row
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.errors import DatabaseConflictError, DatabaseUnavailableError
from app.settings import Settings
from sql.tables import metadata

Record = TypeVar("Record")
Kind = TypeVar("Kind", bound="ReadConnection")

# Seconds a SQLite connection waits for the one writer, which may be in another process.
SQLITE_BUSY_SECONDS = 15
SQLITE_READERS = 4
# Heartbeats and usage events, one lane each; they are the write pool's connections.
LONE_WRITERS = 2


def as_batch(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the one parameter ``batch`` of a statement over ``batch_rows``; their moments are in UTC."""
    return orjson.dumps(rows).decode()


class ReadConnection:
    """Runs statements that change nothing; each sees what was committed before it began."""

    def __init__(self, connection: AsyncConnection, on_statement: Callable[[], None]) -> None:
        self._connection = connection
        self._on_statement = on_statement

    async def many(self, statement: Executable, into: type[Record], **values: Any) -> list[Record]:
        """All rows as records, whose fields are in the order of the statement's columns."""
        return [into(*row) for row in (await self._run(statement, values)).all()]

    async def maybe(self, statement: Executable, into: type[Record], **values: Any) -> Record | None:
        """The only row as a record, or None."""
        row = (await self._run(statement, values)).one_or_none()
        return None if row is None else into(*row)

    async def one(self, statement: Executable, into: type[Record], **values: Any) -> Record:
        """The only row as a record; it is a fault of ours if there is none."""
        return into(*(await self._run(statement, values)).one())

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Row[Any]]:
        """All rows as they come, for batches whose caller knows the columns."""
        return (await self._run(statement, values)).all()

    async def _run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run and count; a listener of SQLAlchemy's that counts would cost a sixth of the statement."""
        self._on_statement()
        return await self._connection.execute(statement, values)


class WriteConnection(ReadConnection):
    """A transaction: all of it is committed when its block ends, or none of it."""

    async def affected(self, statement: Executable, **values: Any) -> int:
        """How many rows a change has touched."""
        return (await self._run(statement, values)).rowcount

    async def insert_all(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> Sequence[Row[Any]]:
        """Insert many rows with one statement and answer what it returns, in the order of the rows."""
        result = await self._run(statement, rows)
        return result.all() if result.returns_rows else ()


class _OpenConnections:
    """Connections that commit by themselves and are used again as they are.

    There is nothing to reset between two statements, and to take one from the pool costs a quarter of a statement.
    ``gate`` lets in as many at a time as there may be connections, each after a wait of ``timeout_seconds`` at most.
    """

    def __init__(self, engine: AsyncEngine, gate: asyncio.Semaphore | asyncio.Lock, timeout_seconds: float) -> None:
        self._engine = engine
        self._gate = gate
        self._timeout_seconds = timeout_seconds
        self._idle: list[AsyncConnection] = []

    async def take(self) -> AsyncConnection:
        """A connection of one's own."""
        if self._gate.locked():
            async with asyncio.timeout(self._timeout_seconds):
                await self._gate.acquire()
        else:
            await self._gate.acquire()
        try:
            return self._idle.pop() if self._idle else await self._engine.connect()
        except BaseException:
            self._gate.release()
            raise

    async def give_back(self, connection: AsyncConnection, *, is_sound: bool) -> None:
        """Keep it for the next one; one that has failed goes back to the pool, which knows whether it is gone."""
        try:
            if is_sound:
                self._idle.append(connection)
            else:
                await asyncio.shield(connection.close())
        finally:
            self._gate.release()

    async def close(self) -> None:
        """Give them all back to the pool."""
        while self._idle:
            await self._idle.pop().close()


class _Loan(Generic[Kind]):
    """One of the open connections for a block, whose failures say what they mean.

    A class and not a generator: generators around each other that do the same cost a fifth of a statement.
    """

    __slots__ = ("_connection", "_kind", "_lender", "_on_statement")

    _connection: AsyncConnection

    def __init__(self, lender: _OpenConnections, kind: type[Kind], on_statement: Callable[[], None]) -> None:
        self._lender = lender
        self._kind = kind
        self._on_statement = on_statement

    async def __aenter__(self) -> Kind:
        try:
            self._connection = await self._lender.take()
        except Exception as failure:
            _raise_outage(failure)
            raise
        return self._kind(self._connection, self._on_statement)

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: object) -> None:
        await self._lender.give_back(self._connection, is_sound=failure is None)
        if failure is not None:
            _raise_outage(failure)


class Database:
    """The connections of one process to its database."""

    def __init__(self, settings: Settings, on_statement: Callable[[], None] = lambda: None) -> None:
        self.url: URL = settings.database
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        make = _sqlite_engine if self.is_sqlite else _postgres_engine
        self.reader: AsyncEngine = make(settings, writes=False)
        self.writer: AsyncEngine = make(settings, writes=True)
        self._on_statement = on_statement
        lone_writer = self.writer.execution_options(isolation_level="AUTOCOMMIT")
        readers = asyncio.Semaphore(SQLITE_READERS if self.is_sqlite else settings.read_pool_size)
        self._reads = _OpenConnections(self.reader, readers, settings.pool_timeout_seconds)
        # SQLite has one writer: the others of this process wait for it here, for its own waiting is unfair.
        self._one_writer = asyncio.Lock() if self.is_sqlite else None
        lone_writers = self._one_writer or asyncio.Semaphore(LONE_WRITERS)
        patience = SQLITE_BUSY_SECONDS if self.is_sqlite else settings.pool_timeout_seconds
        self._lone_writes = _OpenConnections(lone_writer, lone_writers, patience)

    def read(self) -> _Loan[ReadConnection]:
        """A connection for reading, one round trip per statement and no transaction around them."""
        return _Loan(self._reads, ReadConnection, self._on_statement)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteConnection]:
        """A transaction, committed when the block ends and rolled back when it raises."""
        with outages():
            async with self._turn(), self.writer.begin() as connection:
                yield WriteConnection(connection, self._on_statement)

    def write_alone(self) -> _Loan[WriteConnection]:
        """A connection for one changing statement, a transaction by itself: one round trip instead of three."""
        return _Loan(self._lone_writes, WriteConnection, self._on_statement)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """On SQLite, the one writer's place."""
        if self._one_writer is None:
            yield
            return
        async with asyncio.timeout(SQLITE_BUSY_SECONDS):
            await self._one_writer.acquire()
        try:
            yield
        finally:
            self._one_writer.release()

    async def close(self) -> None:
        """Close every connection."""
        await self._reads.close()
        await self._lone_writes.close()
        await self.reader.dispose()
        await self.writer.dispose()


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
        _raise_outage(failure)
        raise


def _raise_outage(failure: BaseException) -> None:
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


def _postgres_engine(settings: Settings, *, writes: bool) -> AsyncEngine:
    # What is asked often is in memory. With the costs of a turning disk the planner would rather read a thousand rows
    # whole than look ten of them up.
    server_settings = {"application_name": "portal", "timezone": "UTC", "jit": "off", "random_page_cost": "1.1"}
    if not writes:
        server_settings["default_transaction_read_only"] = "on"
    options: dict[str, Any] = {} if writes else {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    return create_async_engine(
        settings.database,
        pool_size=settings.write_pool_size if writes else settings.read_pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        hide_parameters=True,
        connect_args={
            "server_settings": server_settings,
            "timeout": settings.pool_timeout_seconds,
            "command_timeout": settings.statement_timeout_seconds,
        },
        **options,
    )


def _sqlite_engine(settings: Settings, *, writes: bool) -> AsyncEngine:
    """The engine of a SQLite file; its transactions take the one writer's place when they begin."""
    options: dict[str, Any] = {} if writes else {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    engine = create_async_engine(
        settings.database,
        poolclass=AsyncAdaptedQueuePool,
        # Transactions, and statements that are one by themselves.
        pool_size=2 if writes else SQLITE_READERS,
        max_overflow=0,
        pool_timeout=max(settings.pool_timeout_seconds, SQLITE_BUSY_SECONDS),
        hide_parameters=True,
        connect_args={"timeout": SQLITE_BUSY_SECONDS},
        **options,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        # SQLite has a function of this name only since 3.41; batches bring their bytes in hexadecimal.
        connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
