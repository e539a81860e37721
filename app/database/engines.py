"""The two engines of a process, one for reads and one for writes, on PostgreSQL or on a SQLite file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from app.settings import Settings

# Seconds that a SQLite connection waits for the current writer, which may be another process.
SQLITE_BUSY_SECONDS = 15
SQLITE_READERS = 4
_AUTOCOMMIT: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}


def postgres_engine(settings: Settings, *, writes: bool) -> AsyncEngine:
    """The engine of a PostgreSQL database; without ``writes`` its transactions are read-only."""
    options: dict[str, Any] = {} if writes else _AUTOCOMMIT
    return create_async_engine(
        settings.database,
        pool_size=settings.write_pool_size if writes else settings.read_pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        hide_parameters=True,
        connect_args=_connect_args(settings, {} if writes else {"default_transaction_read_only": "on"}),
        **options,
    )


def listening_engine(settings: Settings) -> AsyncEngine:
    """The engine of a PostgreSQL database for a connection that listens; none is kept once it is closed."""
    return create_async_engine(
        settings.database,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_connect_args(settings, {"application_name": "portal doorbell"}),
        **_AUTOCOMMIT,
    )


def _connect_args(settings: Settings, server_settings: dict[str, str]) -> dict[str, Any]:
    # random_page_cost: the pages in frequent use are in memory. With the default, which is meant for a hard disk, the
    # planner would scan a table of a thousand rows to find ten of them.
    everywhere = {"application_name": "portal", "timezone": "UTC", "jit": "off", "random_page_cost": "1.1"}
    return {
        "server_settings": everywhere | server_settings,
        "timeout": settings.pool_timeout_seconds,
        "command_timeout": settings.statement_timeout_seconds,
    }


def sqlite_engine(settings: Settings, *, writes: bool) -> AsyncEngine:
    """The engine of a SQLite file; with ``writes`` a transaction takes the write lock when it begins."""
    options: dict[str, Any] = {} if writes else _AUTOCOMMIT
    engine = create_async_engine(
        settings.database,
        poolclass=AsyncAdaptedQueuePool,
        # For writes: one for transactions and one for autocommit statements.
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
        # For batches, whose bytes are in hexadecimal; SQLite itself has unhex only since version 3.41.
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
