"""Where the rows of a grown installation go: COPY on PostgreSQL, prepared inserts on SQLite, the same verbs on both."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import asyncpg
from sqlalchemy import insert, text

from app.database.connections import Database, WriteConnection
from app.settings import Settings
from bench.growth_models import CALL_COLUMNS, Owner, busy_call_rows, busy_id
from bench.growth_rows import COLUMNS, PLANS, Row, Shape
from sql.tables import metadata

LAST_SLUG = "SELECT max(slug) FROM tenants WHERE slug LIKE 'growth-______'"
BUSY_TENANT = "SELECT id, name, created_at FROM tenants WHERE slug = 'growth-000001'"
IS_BUSY = f"SELECT 1 FROM llm_calls WHERE request_id = '{busy_id(0)}'"
KNOWN_PLANS = "SELECT id, name, max_devices FROM plans"
PLAN_COLUMNS = "name stripe_price_id monthly_run_quota max_devices created_at updated_at"


class Store(Protocol):
    """A database, seen by what fills it; what is inserted belongs to the transaction around it."""

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """All of a chunk, or nothing of it."""

    async def rows(self, query: str) -> Sequence[Sequence[Any]]:
        """The rows of a query."""

    async def new_ids(self, table: str, count: int) -> list[int]:
        """Numbers that nobody else gets."""

    async def transaction_id(self) -> int:
        """What the audit trail notes as the transaction."""

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add rows; the database's own triggers and checks apply."""

    async def settle(self) -> None:
        """Let the planner know what there is now."""


class PostgresStore:
    """One connection of asyncpg."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield

    async def rows(self, query: str) -> Sequence[Sequence[Any]]:
        return await self._connection.fetch(query)

    async def new_ids(self, table: str, count: int) -> list[int]:
        asking = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2)"
        return [row[0] for row in await self._connection.fetch(asking, table, count)]

    async def transaction_id(self) -> int:
        return int(await self._connection.fetchval("SELECT pg_current_xact_id()::text::bigint"))

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        await self._connection.copy_records_to_table(table, columns=columns, records=rows)

    async def settle(self) -> None:
        await self._connection.execute("VACUUM (ANALYZE)")


class SqliteStore:
    """The portal's own write transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: WriteConnection | None = None
        self._next_ids: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            async with self._database.write() as self._open:
                yield
        finally:
            self._open = None
            self._next_ids.clear()

    async def rows(self, query: str) -> Sequence[Sequence[Any]]:
        if self._open is not None:
            return await self._open.rows(text(query))
        async with self._database.read() as connection:
            return await connection.rows(text(query))

    async def new_ids(self, table: str, count: int) -> list[int]:
        if table not in self._next_ids:
            ((last,),) = await self.rows(f"SELECT coalesce(max(id), 0) FROM {table}")
            self._next_ids[table] = last + 1
        first = self._next_ids[table]
        self._next_ids[table] = first + count
        return list(range(first, first + count))

    async def transaction_id(self) -> int:
        return 0

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if rows and self._open is not None:
            named = [dict(zip(columns, row, strict=True)) for row in rows]
            await self._open.insert_all(insert(metadata.tables[table]), named)

    async def settle(self) -> None:
        async with self._database.write() as connection:
            await connection.affected(text("ANALYZE"))


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The store of the database that the settings name."""
    if settings.database.get_backend_name() == "sqlite":
        database = Database(settings)
        try:
            yield SqliteStore(database)
        finally:
            await database.close()
        return
    dsn = settings.database.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn, timeout=settings.pool_timeout_seconds)
    try:
        yield PostgresStore(connection)
    finally:
        await connection.close(timeout=10)


async def last_number(store: Store) -> int:
    """The number of the last tenant that a finished chunk has brought, 0 before the first."""
    ((found,),) = await store.rows(LAST_SLUG)
    return int(found.rpartition("-")[2]) if found else 0


async def plans_for(store: Store, devices_each: int, at: Any) -> list[int]:
    """The plans on which so many devices have a seat; they are made where they are missing."""
    async with store.transaction():
        known = {row[1] for row in await store.rows(KNOWN_PLANS)}
        missing = [(*plan, at, at) for plan in PLANS if plan[0] not in known]
        await store.insert("plans", PLAN_COLUMNS.split(), missing)
        ours = {plan[0] for plan in PLANS}
        found = [row for row in await store.rows(KNOWN_PLANS) if row[1] in ours]
    return [row[0] for row in sorted(found, key=lambda row: row[0]) if row[2] is None or row[2] >= devices_each]


async def counted(store: Store) -> dict[str, int]:
    """How many rows each table has that grows."""
    return {table: (await store.rows(f"SELECT count(*) FROM {table}"))[0][0] for table in COLUMNS}


async def add_busy_calls(store: Store, shape: Shape) -> int:
    """The calls of the busy tenant, which is the first one, unless they are there; answers how many were added."""
    async with store.transaction():
        if not shape.busy_calls or await store.rows(IS_BUSY):
            return 0
        ((tenant_id, name, born),) = await store.rows(BUSY_TENANT)
        owner = Owner(tenant_id, 1, name, born, shape.begin_of(0))
        rows = list(busy_call_rows(owner, shape.busy_calls, shape.zone))
        await store.insert("llm_calls", CALL_COLUMNS.split(), rows)
    return len(rows)
