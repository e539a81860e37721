"""State about requests: windows of exact rate limits, and stored answers under idempotency keys."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, false

from sql.tables.columns import Instant, metadata

# For rate limits that must be exact across all workers; the others are counted in memory or in Redis.
rate_windows = Table(
    "rate_windows",
    metadata,
    # Keyed hash of the limit's name and of the address or account that is counted.
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
    # Keyed hash of the request, to detect the same key with another request.
    Column("request_hash", LargeBinary(32), nullable=False),
    # Null while the first request runs. Encrypted with a key derived from the caller's key and the secret key.
    Column("sealed_answer", LargeBinary),
    # When the hold of a request without an answer ends, so that a crashed server does not keep the key for a day.
    Column("held_until", Instant, nullable=False),
    # True once the request's work is committed: from then on no repeat runs it again, even if its answer was lost.
    Column("is_done", Boolean, nullable=False, server_default=false()),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_idempotent_answers_expires_at", "expires_at"),
)
