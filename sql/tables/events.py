"""The audit trail: one row for every change that somebody may have to explain later, and the chain that seals it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text

from sql.dialect import transaction_id
from sql.tables.columns import Id, Instant, choice, id_column, metadata

platform_events = Table(
    "platform_events",
    metadata,
    id_column(),
    # The transaction that wrote the row. Ids are handed out before commit, so a slow transaction's row appears below
    # ids that were already read; a reader orders by (xid, id) and stops below the oldest transaction still running.
    Column("xid", BigInteger, nullable=False, default=transaction_id()),
    Column("event_type", String(50), nullable=False),
    choice("severity", "major", "minor"),
    Column("title", String(255), nullable=False),
    choice("actor_type", "operator", "program", "tenant", "device", "visitor", "stripe", "system"),
    Column("actor_name", String(255), nullable=False),
    Column("actor_id", Id),
    # Plain numbers without foreign keys: what happened stays as it was when its subject is deleted.
    Column("tenant_id", Id),
    Column("code_id", Id),
    Column("device_id", Id),
    Column("project_id", String(100)),
    Column("metadata", Text, nullable=False),
    Column("request_id", String(64)),
    Column("created_at", Instant, nullable=False),
    Index("ix_platform_events_xid_id", "xid", "id"),
    # The list of events runs by time, as a whole and for each filter that may leave few of many.
    Index("ix_platform_events_created_at_id", "created_at", "id"),
    Index("ix_platform_events_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_platform_events_event_type_created_at_id", "event_type", "created_at", "id"),
    Index("ix_platform_events_actor_name_created_at_id", "actor_name", "created_at", "id"),
)

# One row an event, in the order in which they were sealed: each seal covers its event and the seal before it, with a
# key that is not in the database. A row without its event, an event among the sealed without its row, and a seal that
# is not what it should be each prove a change.
audit_seals = Table(
    "audit_seals",
    metadata,
    Column("position", Id, primary_key=True, autoincrement=False),
    Column("event_id", Id, nullable=False),
    Column("seal", LargeBinary(32), nullable=False),
    Column("sealed_at", Instant, nullable=False),
    Index("uq_audit_seals_event_id", "event_id", unique=True),
)
