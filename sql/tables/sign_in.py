"""How tenants sign in: what they asked for, the one open challenge of each, their sessions, and mail on its way."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where

# A tenant has at most one challenge, the newest: the tenant is the key, and a new one replaces the old.
otp_challenges = Table(
    "otp_challenges",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Keyed hash of the one-time password, which is stored nowhere.
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("attempts >= 0", name="attempts"),
)

tenant_sessions = Table(
    "tenant_sessions",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the token that the browser holds.
    Column("token_hash", LargeBinary(32), nullable=False),
    # Written at most once a minute.
    Column("last_activity", Instant, nullable=False),
    # The absolute end; nothing moves it.
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_tenant_sessions_token_hash", "token_hash", unique=True),
    Index("ix_tenant_sessions_tenant_id", "tenant_id"),
    Index("ix_tenant_sessions_expires_at", "expires_at"),
)

# What is to be sent to a tenant, known or not: a request for a password leaves the same row for any slug. What a
# message says is made when it is sent, so that no secret waits here.
deliveries = Table(
    "deliveries",
    metadata,
    id_column(),
    choice("kind", "one_time_password", "welcome"),
    Column("tenant_slug", String(100), nullable=False),
    choice("state", "waiting", "sent", "failed", "unreachable", server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Why it failed, for operators.
    Column("failure", String(255)),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Index(
        "ix_deliveries_waiting",
        "id",
        **only_where("state = 'waiting'"),
    ),
    Index("ix_deliveries_created_at", "created_at"),
)
