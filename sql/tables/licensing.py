"""Activation codes, devices, families of refresh tokens, and the keys that sign access tokens."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from sql.folding import key_of
from sql.tables.columns import FoldedName, Id, Instant, id_column, metadata, only_where

activation_codes = Table(
    "activation_codes",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the normalised code; the code itself is shown once and stored nowhere.
    Column("code_hash", LargeBinary(32), nullable=False),
    # The last four characters, so that a person can tell codes apart.
    Column("hint", String(4), nullable=False),
    Column("label", String(255)),
    Column("folded_label", FoldedName, default=key_of("label")),
    Column("max_uses", Integer, nullable=False, server_default=text("1")),
    Column("use_count", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", Instant),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("tenant_id", "code_hash", name="uq_activation_codes_code_hash"),
    CheckConstraint("max_uses >= 1", name="max_uses"),
    CheckConstraint("use_count >= 0 AND use_count <= max_uses", name="use_count"),
    Index("ix_activation_codes_tenant_id_id", "tenant_id", "id"),
    # For the codes that have expired in the current quarter of an hour; earlier ones are in the stored figures.
    Index("ix_activation_codes_expires_at", "expires_at"),
    # For the number of codes that a tenant got in a month.
    Index("ix_activation_codes_tenant_id_created_at", "tenant_id", "created_at"),
    # For finding a whole code without knowing its tenant: the unique index on code_hash begins with the tenant.
    Index("ix_activation_codes_hint_id", "hint", "id"),
)

devices = Table(
    "devices",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # SHA-256, in hexadecimal, of the fingerprint that the device sends.
    Column("hw_fingerprint", String(64), nullable=False),
    Column("label", String(255)),
    Column("folded_label", FoldedName, default=key_of("label")),
    # The code that bound the device; the device may activate again with it without taking another use.
    Column("activation_code_id", Id, ForeignKey("activation_codes.id", ondelete="SET NULL")),
    Column("is_revoked", Boolean, nullable=False, server_default=false()),
    # What counts as a seat of the subscription. A revoked device holds none.
    Column("seat_held", Boolean, nullable=False, server_default=true()),
    # When its seat was released by hand: from then on only an activation takes a seat for it.
    Column("released_at", Instant),
    # How many families of its tokens have come back after a later activation had ended them: as many copies of it.
    Column("clone_count", Integer, nullable=False, server_default=text("0")),
    # How often it was activated anew on the last day on which that has happened, in the installation's time zone.
    Column("moved_on", Date),
    Column("moves", Integer, nullable=False, server_default=text("0")),
    # Not indexed, so that a heartbeat remains a heap-only (HOT) update, which changes no index.
    Column("last_seen", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("tenant_id", "hw_fingerprint", name="uq_devices_hw_fingerprint"),
    Index("ix_devices_activation_code_id", "activation_code_id"),
    # For counting the tenants with new devices.
    Index(
        "ix_devices_created_at_tenant_id",
        "created_at",
        "tenant_id",
        postgresql_where=text("NOT is_revoked"),
        sqlite_where=text("is_revoked = 0"),
    ),
    # For finding a device without knowing its tenant.
    Index("ix_devices_hw_fingerprint", "hw_fingerprint"),
    postgresql_with={"fillfactor": 80},
)

refresh_families = Table(
    "refresh_families",
    metadata,
    # Random; every token of the family contains it.
    Column("id", String(22), primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("device_id", Id, ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the only token that is still unused. The one before it is known by its successor, which is derived.
    Column("token_hash", LargeBinary(32), nullable=False),
    # When that token replaced the one before it; null for the first one.
    Column("rotated_at", Instant),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    # When its device was activated again: it ends with its successor's first use, and after a grace in any case.
    Column("superseded_at", Instant),
    # When somebody has shown a token of it after it had ended so.
    Column("came_back_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_refresh_families_tenant_id_device_id", "tenant_id", "device_id"),
    Index("ix_refresh_families_device_id", "device_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    # The public JWK as JSON text, and the private JWK encrypted with a key derived from the installation's secret key.
    Column("public_jwk", Text, nullable=False),
    Column("sealed_private_jwk", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("signs_from", Instant, nullable=False),
    # Null for the newest key; a replaced key verifies until the last token that it signed has expired.
    Column("verifies_until", Instant),
    # Only one host can store the first key when several start on an empty database at the same time.
    Index(
        "uq_signing_keys_newest",
        "algorithm",
        unique=True,
        **only_where("verifies_until IS NULL"),
    ),
)
