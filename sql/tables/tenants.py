"""Tenants: the vendor's customers; and the deletions of tenants, which go on in pieces."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint, event, text

from sql.dialect import install_trigram_indexes
from sql.folding import key_of
from sql.tables.columns import FoldedName, Id, Instant, Slug, choice, id_column, metadata, only_where

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),
    # By it the name is searched and ordered.
    Column("folded_name", FoldedName, nullable=False, server_default=text("''"), default=key_of("name")),
    Column("slug", Slug, nullable=False),
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
    # Set when the deletion begins. From then on the tenant is hidden: nothing finds it, and its rows go in pieces.
    Column("deleted_at", Instant),
    UniqueConstraint("slug", name="uq_tenants_slug"),
    # For the columns that operators sort by; among equals the newest tenant comes first.
    Index("ix_tenants_folded_name_created_at_id", "folded_name", "created_at", "id"),
    Index("ix_tenants_created_at_id", "created_at", "id"),
    Index("ix_tenants_updated_at_created_at_id", "updated_at", "created_at", "id"),
    # For the tenants in one state, which may be few among many.
    Index("ix_tenants_subscription_state_created_at_id", "subscription_state", "created_at", "id"),
    # The few that are being deleted.
    Index("ix_tenants_deleted", "id", **only_where("deleted_at IS NOT NULL")),
    # SQLite would otherwise give the id of the newest tenant, once it is deleted, to the next one; access tokens and
    # events that name the old tenant would then be about the new one.
    sqlite_autoincrement=True,
)

# One row for each deletion; it outlives its tenant, so that operators can see how it went.
tenant_deletions = Table(
    "tenant_deletions",
    metadata,
    id_column(),
    # A plain number without a foreign key: the deletion ends after the tenant's row has gone.
    Column("tenant_id", Id, nullable=False),
    Column("slug", String(100), nullable=False),
    Column("name", String(255), nullable=False),
    Column("requested_by", String(255), nullable=False),
    Column("requested_at", Instant, nullable=False),
    # A JSON object: how many rows of each table there were when the removal began; null until they are counted.
    Column("found", Text),
    Column("removed", BigInteger, nullable=False, server_default=text("0")),
    # Whoever removes rows says so before each piece; another process may go on once this moment has passed.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("held_until", Instant),
    Column("finished_at", Instant),
    # Its customer at Stripe, and when that was left without a living subscription.
    Column("stripe_customer_id", String(255)),
    Column("payments_ended_at", Instant),
    Index("uq_tenant_deletions_tenant_id", "tenant_id", unique=True, **only_where("finished_at IS NULL")),
    Index("ix_tenant_deletions_unfinished", "id", **only_where("finished_at IS NULL")),
    Index(
        "ix_tenant_deletions_paying",
        "id",
        **only_where("stripe_customer_id IS NOT NULL AND payments_ended_at IS NULL"),
    ),
)

event.listen(metadata, "after_create", install_trigram_indexes)
