"""Tenants: the vendor's customers."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, UniqueConstraint, event

from sql.dialect import install_trigram_indexes
from sql.tables.columns import Instant, choice, id_column, metadata

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),
    Column("slug", String(100), nullable=False),
    Column("logo_url", String(500)),
    Column("primary_color", String(7)),
    Column("domain", String(255)),
    Column("email", String(255)),
    Column("phone_number", String(50)),
    choice("otp_delivery_method", "email", "sms", "whatsapp", "both", server_default="email"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # The state of the current subscription, null without one; triggers on subscriptions maintain it.
    Column("subscription_state", String(32)),
    UniqueConstraint("slug", name="uq_tenants_slug"),
    # For the columns that operators sort by; among equals the newest tenant comes first.
    Index("ix_tenants_name_created_at_id", "name", "created_at", "id"),
    Index("ix_tenants_created_at_id", "created_at", "id"),
    Index("ix_tenants_updated_at_created_at_id", "updated_at", "created_at", "id"),
    # For the tenants in one state, which may be few among many.
    Index("ix_tenants_subscription_state_created_at_id", "subscription_state", "created_at", "id"),
)

event.listen(metadata, "after_create", install_trigram_indexes)
