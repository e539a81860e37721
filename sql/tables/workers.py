"""What processes that work tell each other: heartbeats, leases for work of one at a time, and calls for errands."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table, column, table

from sql.tables.columns import Instant, id_column, metadata

worker_heartbeats = Table(
    "worker_heartbeats",
    metadata,
    Column("executor_id", String(100), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("expires_at", Instant, nullable=False),
)

# Errands that processes without a durable engine ask for; a process that has one puts them into its queue.
errand_calls = Table(
    "errand_calls",
    metadata,
    id_column(),
    Column("errand", String(50), nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Column("called_at", Instant, nullable=False),
    # SQLite would otherwise give an answered call's id to the next call, which another process that has answered the
    # first one as well would then delete.
    sqlite_autoincrement=True,
)

# What migrates makes it and writes to it, so it is none of the tables that migrations make.
alembic_version = table("alembic_version", column("version_num", String))
