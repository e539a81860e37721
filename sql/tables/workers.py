"""Heartbeats of worker processes, and leases for work that only one of them may do at a time."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from sql.tables.columns import Instant, metadata

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
