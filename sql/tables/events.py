"""The audit trail: one row for each change that operators may have to trace, and the chain of seals over it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text

from sql.dialect import transaction_id
from sql.tables.columns import Id, Instant, choice, id_column, metadata

platform_events = Table(
    "platform_events",
    metadata,
    id_column(),
    # The id of the transaction that wrote the row. Row ids are assigned before commit, so a slow transaction's row can
    # appear below ids that a reader has already passed. Readers therefore sort by (xid, id) and stop below the oldest
    # running transaction.
    Column("xid", BigInteger, nullable=False, default=transaction_id()),
    Column("event_type", String(50), nullable=False),
    choice("severity", "major", "minor"),
    Column("title", String(255), nullable=False),
    choice("actor_type", "operator", "tenant", "device", "system"),
    Column("actor_name", String(255), nullable=False),
    Column("actor_id", Id),
    # Plain numbers without foreign keys, so that an event stays unchanged when its tenant, code or device is deleted.
    Column("tenant_id", Id),
    Column("code_id", Id),
    Column("device_id", Id),
    Column("project_id", String(100)),
    Column("metadata", Text, nullable=False),
    Column("request_id", String(64)),
    Column("created_at", Instant, nullable=False),
    Index("ix_platform_events_xid_id", "xid", "id"),
    # The list of events is sorted by time; each filter that may select few of many events has its own index.
    Index("ix_platform_events_created_at_id", "created_at", "id"),
    Index("ix_platform_events_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_platform_events_event_type_created_at_id", "event_type", "created_at", "id"),
    Index("ix_platform_events_actor_name_created_at_id", "actor_name", "created_at", "id"),
)

# One row per sealed event, in the order of sealing. Each seal is a keyed hash (HMAC) of its event and the seal before
# it; the key is not in the database. A seal without its event, an event between sealed ones without a seal, and a wrong
# seal each prove that somebody changed the trail.
audit_seals = Table(
    "audit_seals",
    metadata,
    Column("position", Id, primary_key=True, autoincrement=False),
    Column("event_id", Id, nullable=False),
    Column("seal", LargeBinary(32), nullable=False),
    Column("sealed_at", Instant, nullable=False),
    Index("uq_audit_seals_event_id", "event_id", unique=True),
)
