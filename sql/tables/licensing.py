"""Activation codes, the devices bound by them, their refresh-token families, and the keys that sign access tokens."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
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
)

from sql.tables.columns import Id, Instant, id_column, metadata, only_where

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
    # What has expired within the running quarter of an hour; older ones are sums.
    Index("ix_activation_codes_expires_at", "expires_at"),
    # What a tenant was given in a month.
    Index("ix_activation_codes_tenant_id_created_at", "tenant_id", "created_at"),
    # Finds a whole code, whose hash is kept by tenant, for who does not know whose it is.
    Index("ix_activation_codes_hint_id", "hint", "id"),
)

devices = Table(
    "devices",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # SHA-256 of what the device sends, in hexadecimal.
    Column("hw_fingerprint", String(64), nullable=False),
    Column("label", String(255)),
    # The code that bound the device; with it the device may activate again without a further use.
    Column("activation_code_id", Id, ForeignKey("activation_codes.id", ondelete="SET NULL")),
    Column("is_revoked", Boolean, nullable=False, server_default=false()),
    # Not indexed: a heartbeat stays an update within its page (HOT) that touches no index.
    Column("last_seen", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("tenant_id", "hw_fingerprint", name="uq_devices_hw_fingerprint"),
    Index("ix_devices_activation_code_id", "activation_code_id"),
    # Whose devices came lately.
    Index(
        "ix_devices_created_at_tenant_id",
        "created_at",
        "tenant_id",
        postgresql_where=text("NOT is_revoked"),
        sqlite_where=text("is_revoked = 0"),
    ),
    # Finds a device for who does not know whose it is.
    Index("ix_devices_hw_fingerprint", "hw_fingerprint"),
    postgresql_with={"fillfactor": 80},
)

refresh_families = Table(
    "refresh_families",
    metadata,
    # Random, and part of every token of the family.
    Column("id", String(22), primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("device_id", Id, ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the one token that may be used next.
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_refresh_families_tenant_id_device_id", "tenant_id", "device_id"),
    Index("ix_refresh_families_device_id", "device_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    # The public JWK as JSON text, and the private one sealed with a key derived from the installation's secret.
    Column("public_jwk", Text, nullable=False),
    Column("sealed_private_jwk", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("signs_from", Instant, nullable=False),
    # Null while the key is the newest; a replaced key verifies until the last token it signed has expired.
    Column("verifies_until", Instant),
    # Of several hosts that start on an empty database together, one stores the first key.
    Index(
        "uq_signing_keys_newest",
        "algorithm",
        unique=True,
        **only_where("verifies_until IS NULL"),
    ),
)
