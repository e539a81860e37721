"""Connections: reads in autocommit mode, single-statement writes, and write transactions; and methods to fetch rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy import CursorResult, Executable, event
from sqlalchemy.engine import URL, ExceptionContext, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.database.engines import SQLITE_BUSY_SECONDS, SQLITE_READERS, postgres_engine, sqlite_engine
from app.database.failures import is_read_only, outages, raise_outage
from app.errors import DatabaseUnavailableError
from app.settings import Settings
from sql.dialect import chains_changes

Record = TypeVar("Record")
Kind = TypeVar("Kind", bound="ReadConnection")

# One for the batches of heartbeats, one for those of usage events, and two for those of model calls; all come from the
# write pool, which keeps one for transactions.
AUTOCOMMIT_WRITERS = 4


def as_batch(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as the parameter ``batch`` of a statement over ``batch_rows``; their moments must be in UTC."""
    return orjson.dumps(rows).decode()


def moment(stored: datetime) -> datetime:
    """A stored datetime as it is; for ``into``, because datetime itself cannot be called with one."""
    return stored


class ReadConnection:
    """Runs statements that change nothing; each one sees everything committed before it began.

    ``into`` makes the answer from a row's columns, in their order: a record with a field for each column, or for a
    single column a plain type such as int or str, and ``moment`` for a datetime.
    """

    def __init__(self, connection: AsyncConnection, on_statement: Callable[[], None]) -> None:
        self._connection = connection
        self._on_statement = on_statement

    async def many(self, statement: Executable, into: Callable[..., Record], **values: Any) -> list[Record]:
        """All rows, each made into a record or a plain value."""
        return [into(*row) for row in (await self._run(statement, values)).all()]

    async def maybe(self, statement: Executable, into: Callable[..., Record], **values: Any) -> Record | None:
        """The only row, or None."""
        row = (await self._run(statement, values)).one_or_none()
        return None if row is None else into(*row)

    async def one(self, statement: Executable, into: Callable[..., Record], **values: Any) -> Record:
        """The only row; raises NoResultFound if there is none, which is a bug."""
        return into(*(await self._run(statement, values)).one())

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Row[Any]]:
        """All rows as SQLAlchemy's rows, for callers that read columns by name."""
        return (await self._run(statement, values)).all()

    async def _run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run the statement and count it; an event listener of SQLAlchemy would add a sixth to a statement's cost."""
        self._on_statement()
        return await self._connection.execute(statement, values)


class WriteConnection(ReadConnection):
    """A transaction: when its block ends, all of it is committed or nothing."""

    async def affected(self, statement: Executable, **values: Any) -> int:
        """Run a change and return the number of rows it affected."""
        return (await self._run(statement, values)).rowcount

    async def insert_all(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> Sequence[Row[Any]]:
        """Insert many rows with one statement and return its RETURNING rows, in the order of ``rows``."""
        result = await self._run(statement, rows)
        return result.all() if result.returns_rows else ()


class _AutocommitPool:
    """Autocommit connections that are checked out and checked in without a reset.

    Two autocommit statements share no state that needs a reset, and checking a connection out of SQLAlchemy's pool
    costs a quarter of a statement. ``gate`` limits the connections in use; a caller waits at most ``timeout_seconds``
    for one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        gate: asyncio.Semaphore | asyncio.Lock,
        timeout_seconds: float,
        on_read_only: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._gate = gate
        self._timeout_seconds = timeout_seconds
        self._on_read_only = on_read_only
        self._is_closed = False
        self._idle: list[AsyncConnection] = []

    async def check_out(self) -> AsyncConnection:
        """A connection that no other caller uses until it is checked in; raises TimeoutError."""
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

    async def check_in(self, connection: AsyncConnection, failure: BaseException | None) -> None:
        """Keep the connection for the next caller; after a failure close it, and SQLAlchemy's pool checks its state.

        Where it turns out to be read-only, all others are replaced too: they lead to the same server.
        """
        try:
            if self._is_closed:
                await asyncio.shield(_close_for_good(connection))
            elif failure is None:
                self._idle.append(connection)
            else:
                await asyncio.shield(connection.close())
                if is_read_only(failure):
                    await self._on_read_only()
        finally:
            self._gate.release()

    async def renew(self) -> None:
        """Let no idle connection be used again."""
        while self._idle:
            connection = self._idle.pop()
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        """Return all idle connections to SQLAlchemy's pool; what is checked in later is closed for good."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().close()


async def _close_for_good(connection: AsyncConnection) -> None:
    """Close it, without the pool in which it would stay otherwise; the driver has ended what it does for it then."""
    await connection.run_sync(lambda one: one.detach())
    await connection.close()


class Checkout(Generic[Kind]):
    """A context manager that checks an autocommit connection out, and turns database failures into the portal's errors.

    A class, because nested generators that do the same would add a fifth to a statement's cost.
    """

    __slots__ = ("_connection", "_kind", "_on_statement", "_pool")

    _connection: AsyncConnection

    def __init__(self, pool: _AutocommitPool, kind: type[Kind], on_statement: Callable[[], None]) -> None:
        self._pool = pool
        self._kind = kind
        self._on_statement = on_statement

    async def __aenter__(self) -> Kind:
        """Check a connection out; raises DatabaseUnavailableError."""
        try:
            self._connection = await self._pool.check_out()
        except Exception as failure:
            raise_outage(failure)
            raise
        return self._kind(self._connection, self._on_statement)

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: object) -> None:
        """Check the connection in, and raise the portal's error for a failure of the database."""
        await self._pool.check_in(self._connection, failure)
        if failure is not None:
            raise_outage(failure)


def _replace_what_only_reads(context: ExceptionContext) -> None:
    """Have a connection replaced that turns out to be read-only, and with it those of the pool that are as old."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True


class Database:
    """The connections of one process to its database."""

    def __init__(self, settings: Settings, on_statement: Callable[[], None] = lambda: None) -> None:
        self.url: URL = settings.database
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.chains_changes = chains_changes(self.url.get_backend_name())
        make = sqlite_engine if self.is_sqlite else postgres_engine
        self.reader: AsyncEngine = make(settings, writes=False)
        self.writer: AsyncEngine = make(settings, writes=True)
        event.listen(self.writer.sync_engine, "handle_error", _replace_what_only_reads)
        self._on_statement = on_statement
        autocommit_writer = self.writer.execution_options(isolation_level="AUTOCOMMIT")
        read_gate = asyncio.Semaphore(SQLITE_READERS if self.is_sqlite else settings.read_pool_size)
        self._reads = _AutocommitPool(self.reader, read_gate, settings.pool_timeout_seconds, self._renew)
        # SQLite permits one writer at a time. This process's writers wait for it in a fair lock, because waiters on
        # SQLite's own lock are not served in order.
        self._writer_lock = asyncio.Lock() if self.is_sqlite else None
        write_gate = self._writer_lock or asyncio.Semaphore(min(AUTOCOMMIT_WRITERS, settings.write_pool_size - 1))
        timeout = SQLITE_BUSY_SECONDS if self.is_sqlite else settings.pool_timeout_seconds
        self._autocommit_writes = _AutocommitPool(autocommit_writer, write_gate, timeout, self._renew)

    def read(self) -> Checkout[ReadConnection]:
        """An autocommit connection for reading: one round trip per statement, and no transaction around them."""
        return Checkout(self._reads, ReadConnection, self._on_statement)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteConnection]:
        """A transaction that commits when the block ends and rolls back when the block raises."""
        try:
            with outages():
                async with self._only_writer(), self.writer.begin() as connection:
                    yield WriteConnection(connection, self._on_statement)
        except DatabaseUnavailableError as failure:
            if is_read_only(failure):
                await self._renew()
            raise

    async def _renew(self) -> None:
        """Replace every connection: the server that they lead to only reads now, and another one may write."""
        await self._reads.renew()
        await self._autocommit_writes.renew()

    def write_autocommit(self) -> Checkout[WriteConnection]:
        """An autocommit connection for a single statement that writes: one round trip instead of three."""
        return Checkout(self._autocommit_writes, WriteConnection, self._on_statement)

    @contextlib.asynccontextmanager
    async def _only_writer(self) -> AsyncIterator[None]:
        """Hold the lock of SQLite's only writer; on PostgreSQL do nothing."""
        if self._writer_lock is None:
            yield
            return
        async with asyncio.timeout(SQLITE_BUSY_SECONDS):
            await self._writer_lock.acquire()
        try:
            yield
        finally:
            self._writer_lock.release()

    async def close(self) -> None:
        """Close every connection."""
        await self._reads.close()
        await self._autocommit_writes.close()
        await self.reader.dispose()
        await self.writer.dispose()
