"""What is remembered of requests: how often somebody asked, and the first answer to one that may be repeated."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, false

from sql.tables.columns import Instant, metadata

# Limits that must hold exactly over all workers; the others are counted in memory or in Redis.
rate_windows = Table(
    "rate_windows",
    metadata,
    # Keyed hash of what is counted and for whom.
    Column("key_hash", LargeBinary(32), primary_key=True),
    Column("hits", Integer, nullable=False),
    # A window begins with its first hit.
    Column("ends_at", Instant, nullable=False),
    Index("ix_rate_windows_ends_at", "ends_at"),
)

idempotent_answers = Table(
    "idempotent_answers",
    metadata,
    # Keyed hash of the caller, the operation and the key that the caller chose.
    Column("key_hash", LargeBinary(32), primary_key=True),
    # Keyed hash of the request, so that the same key with another body is noticed.
    Column("request_hash", LargeBinary(32), nullable=False),
    # Null while the first request runs; sealed with a key derived from the caller's key and a key of ours.
    Column("sealed_answer", LargeBinary),
    # Until when a request that has not answered holds the key; who crashed does not hold it for a day.
    Column("held_until", Instant, nullable=False),
    # What it created is committed: nobody runs it anew, whether its answer is kept or not.
    Column("is_done", Boolean, nullable=False, server_default=false()),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_idempotent_answers_expires_at", "expires_at"),
)
