"""The two engines of a process, one for reads and one for writes, on PostgreSQL or on a SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from app.settings import Settings
from app.settings.database_address import Address

# Seconds that a SQLite connection waits for the current writer, which may be another process.
SQLITE_BUSY_SECONDS = 15
SQLITE_READERS = 4
# random_page_cost: the pages in frequent use are in memory. With the default, which is meant for a hard disk, the
# planner would scan a table of a thousand rows to find ten of them.
SESSION = {"jit": "off", "random_page_cost": "1.1"}
# Prepared statements stay in the server's session, which the next transaction of a pooler's client does not find again:
# without names, asyncpg sends the statement again with the values.
_UNNAMED: dict[str, Any] = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
_READ_ONLY = {"default_transaction_read_only": "on"}
_AUTOCOMMIT: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}


def postgres_engine(settings: Settings, *, writes: bool) -> AsyncEngine:
    """The engine of a PostgreSQL database; without ``writes`` its transactions are read-only."""
    options: dict[str, Any] = {} if writes else _AUTOCOMMIT
    pooler = settings.pooler
    # A pooler for transactions refuses what a session begins with, and its sessions are everybody's.
    server_settings = {} if pooler else SESSION | (limits(settings) if writes else _READ_ONLY)
    return create_async_engine(
        (pooler or settings.database_address).url,
        pool_size=settings.write_pool_size if writes else settings.read_pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        hide_parameters=True,
        connect_args=connect_args(settings, pooler or settings.database_address, server_settings)
        | (_UNNAMED if pooler else {}),
        **options,
    )


def limits(settings: Settings) -> dict[str, str]:
    """How long a change waits for a row that is locked, and how long a transaction may do nothing, in milliseconds.

    Whoever stands still in a transaction, such as a process that was stopped, keeps what it has locked no longer.
    """
    return {
        "lock_timeout": str(round(settings.lock_timeout_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(round(settings.statement_timeout_seconds * 1000)),
    }


def listening_engine(settings: Settings) -> AsyncEngine:
    """The engine of a PostgreSQL database for a connection that listens; none is kept once it is closed."""
    return create_async_engine(
        settings.database,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=connect_args(settings, settings.database_address, {"application_name": "portal doorbell"}),
        **_AUTOCOMMIT,
    )


def connect_args(settings: Settings, address: Address, server_settings: Mapping[str, str]) -> dict[str, Any]:
    """What asyncpg needs to connect to this address, beside what SQLAlchemy takes from its URL."""
    arguments: dict[str, Any] = {
        "server_settings": {
            "application_name": "portal",
            "timezone": "UTC",
            **server_settings,
            **address.server_settings,
        },
        "timeout": address.timeout_seconds(settings.pool_timeout_seconds),
        "command_timeout": settings.statement_timeout_seconds,
    }
    # asyncpg reads certificates, modes and the like from an address only.
    return arguments | ({"dsn": address.driver_address} if address.driver_address else {})


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
