"""Metered usage: every event once, and its sums per local day and kind, which the database itself keeps in step."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
)

from sql.dialect import install_rollup_trigger
from sql.tables.columns import Id, Instant, metadata

usage_events = Table(
    "usage_events",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # The sender's own id of the event: what makes a repeated delivery harmless.
    Column("event_id", String(100), nullable=False),
    # A plain number: the record outlives its device.
    Column("device_id", Id),
    Column("kind", String(50), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    # The day of ``at`` in the installation's time zone.
    Column("day", Date, nullable=False),
    Column("metadata", Text),
    Column("received_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant_id", "event_id"),
    CheckConstraint("quantity >= 1", name="quantity"),
    Index("ix_usage_events_day", "day"),
)

usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("day", Date, nullable=False),
    Column("kind", String(50), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "kind"),
)

event.listen(metadata, "after_create", install_rollup_trigger)
