"""Two kinds of connection, reads that commit by themselves and write transactions, and four ways to fetch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy import CursorResult, Executable
from sqlalchemy.engine import URL, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.database.engines import SQLITE_BUSY_SECONDS, SQLITE_READERS, postgres_engine, sqlite_engine
from app.database.failures import outages, raise_outage
from app.settings import Settings

Record = TypeVar("Record")
Kind = TypeVar("Kind", bound="ReadConnection")

# Heartbeats and usage events, one lane each; they are the write pool's connections.
LONE_WRITERS = 2


def as_batch(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the one parameter ``batch`` of a statement over ``batch_rows``; their moments are in UTC."""
    return orjson.dumps(rows).decode()


def moment(stored: datetime) -> datetime:
    """The moment of a statement that has one column of moments: unlike int or str, datetime copies none."""
    return stored


class ReadConnection:
    """Runs statements that change nothing; each sees what was committed before it began.

    ``into`` makes the answer out of a row's columns, in their order: a record with a field for each of them, or for one
    column a plain type such as int or str, and ``moment`` for a datetime.
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
        """The only row; it is a fault of ours if there is none."""
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


class Loan(Generic[Kind]):
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
        """Take a connection; raises DatabaseUnavailableError."""
        try:
            self._connection = await self._lender.take()
        except Exception as failure:
            raise_outage(failure)
            raise
        return self._kind(self._connection, self._on_statement)

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: object) -> None:
        """Give it back, and raise what a failure of the database means."""
        await self._lender.give_back(self._connection, is_sound=failure is None)
        if failure is not None:
            raise_outage(failure)


class Database:
    """The connections of one process to its database."""

    def __init__(self, settings: Settings, on_statement: Callable[[], None] = lambda: None) -> None:
        self.url: URL = settings.database
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        make = sqlite_engine if self.is_sqlite else postgres_engine
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

    def read(self) -> Loan[ReadConnection]:
        """A connection for reading, one round trip per statement and no transaction around them."""
        return Loan(self._reads, ReadConnection, self._on_statement)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteConnection]:
        """A transaction, committed when the block ends and rolled back when it raises."""
        with outages():
            async with self._turn(), self.writer.begin() as connection:
                yield WriteConnection(connection, self._on_statement)

    def write_alone(self) -> Loan[WriteConnection]:
        """A connection for one changing statement, a transaction by itself: one round trip instead of three."""
        return Loan(self._lone_writes, WriteConnection, self._on_statement)

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
