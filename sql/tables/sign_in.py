"""Sign-in of tenants: the open challenge of each, their sessions, and deliveries of messages."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where

# A tenant has at most one challenge: the tenant is the primary key, and a new challenge replaces the old one.
otp_challenges = Table(
    "otp_challenges",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Keyed hash of the one-time password; the password itself is stored nowhere.
    Column("code_hash", LargeBinary(32), nullable=False),
    # Guesses are counted by place. Workers of the version before, beside which a database may be migrated, count here.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("attempts >= 0", name="attempts"),
)

# A link that an operator has made for a tenant: its bearer signs in once. A new one replaces the one before.
tenant_sign_in_links = Table(
    "tenant_sign_in_links",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Keyed hash of the token in the link.
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_tenant_sign_in_links_token_hash", "token_hash", unique=True),
)

tenant_sessions = Table(
    "tenant_sessions",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the token in the browser.
    Column("token_hash", LargeBinary(32), nullable=False),
    # Written at most once a minute.
    Column("last_activity", Instant, nullable=False),
    # The absolute end of the session; activity does not extend it.
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_tenant_sessions_token_hash", "token_hash", unique=True),
    Index("ix_tenant_sessions_tenant_id", "tenant_id"),
    Index("ix_tenant_sessions_expires_at", "expires_at"),
)

# Changes of where a tenant's one-time passwords go. One that the tenant asks for waits until it is confirmed from where
# they went before, or by an operator; what it was before is kept to tell of it there.
contact_changes = Table(
    "contact_changes",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # JSON objects of the columns that change.
    Column("changes", Text, nullable=False),
    Column("previous", Text, nullable=False),
    choice("state", "waiting", "made", "refused", "superseded"),
    # Keyed hash of the token in the message that asks; null until it is sent.
    Column("token_hash", LargeBinary(32)),
    Column("requested_by", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("decided_at", Instant),
    # One at a time waits; a new one supersedes it.
    Index("uq_contact_changes_waiting", "tenant_id", unique=True, **only_where("state = 'waiting'")),
    Index("uq_contact_changes_token_hash", "token_hash", unique=True),
    Index("ix_contact_changes_tenant_id", "tenant_id"),
    Index("ix_contact_changes_created_at", "created_at"),
)

# Messages to be sent. A request for a one-time password stores the same row for any slug, whether such a tenant exists
# or not. The text is composed only when it is sent, so that no secret is stored here.
deliveries = Table(
    "deliveries",
    metadata,
    id_column(),
    choice(
        "kind",
        "one_time_password",
        "welcome",
        "payment_failed",
        "grace_ended",
        "trial_ending",
        "contact_change",
        "contact_changed",
    ),
    Column("tenant_slug", String(100), nullable=False),
    # Which change a message is about, where it is about one.
    Column("contact_change_id", Id),
    choice("state", "waiting", "sent", "failed", "unreachable", "needless", server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # The reason of the failure, for operators.
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
