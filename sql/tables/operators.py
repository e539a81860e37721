"""Operators, who are the vendor's staff: their accounts, sessions and sign-in links, and API tokens of programs."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text, UniqueConstraint

from sql.tables.columns import Id, Instant, choice, id_column, metadata

ROLES = ("owner", "operator", "read_only")

operators = Table(
    "operators",
    metadata,
    id_column(),
    # In lower case.
    Column("email", String(255), nullable=False),
    Column("name", String(255)),
    choice("role", *ROLES),
    # argon2id; null for an operator who signs in only through the identity provider.
    Column("password_hash", Text),
    # The identity provider's identifier of the person, null before the first sign-in there. An e-mail address may pass
    # to another person; only issuer and subject together identify one for good (OpenID Connect Core 5.7).
    Column("oidc_issuer", Text),
    Column("oidc_subject", String(255)),
    Column("disabled_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("uq_operators_email", "email", unique=True),
    UniqueConstraint("oidc_issuer", "oidc_subject", name="uq_operators_oidc_subject"),
)

operator_sessions = Table(
    "operator_sessions",
    metadata,
    id_column(),
    Column("operator_id", Id, ForeignKey("operators.id", ondelete="CASCADE"), nullable=False),
    # Keyed hash of the token inside the signed cookie.
    Column("token_hash", LargeBinary(32), nullable=False),
    # Written at most once a minute.
    Column("last_activity", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_operator_sessions_token_hash", "token_hash", unique=True),
    Index("ix_operator_sessions_operator_id", "operator_id"),
    Index("ix_operator_sessions_expires_at", "expires_at"),
)

# A link that works once: its bearer signs in and chooses a password.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("operator_id", Id, ForeignKey("operators.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_sign_in_links_operator_id", "operator_id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    id_column(),
    Column("name", String(100), nullable=False),
    choice("role", *ROLES),
    Column("token_hash", LargeBinary(32), nullable=False),
    # The last four characters, so that a person can tell tokens apart.
    Column("hint", String(4), nullable=False),
    # The name of the operator who created it, as in the audit trail.
    Column("created_by", String(255), nullable=False),
    Column("expires_at", Instant, nullable=False),
    # Written at most once a minute.
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("uq_api_tokens_token_hash", "token_hash", unique=True),
)
