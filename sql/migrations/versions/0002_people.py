"""Sign-in: tenants' sessions, operators and API tokens, exact limits, idempotency keys, and seals of the trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and add the actor's id and the project to events."""
    op.create_table(
        "api_tokens",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "owner", "operator", "read_only", name="role", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hint", sa.String(length=4), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("last_used_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_index("uq_api_tokens_token_hash", "api_tokens", ["token_hash"], unique=True)
    op.create_table(
        "audit_seals",
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("seal", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_seals")),
    )
    op.create_index("uq_audit_seals_event_id", "audit_seals", ["event_id"], unique=True)
    op.create_table(
        "deliveries",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("one_time_password", "welcome", name="kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("tenant_slug", sa.String(length=100), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "sent",
                "failed",
                "unreachable",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure", sa.String(length=255), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"], unique=False)
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "idempotent_answers",
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("held_until", Instant(), nullable=False),
        sa.Column("is_done", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_idempotent_answers")),
    )
    op.create_index("ix_idempotent_answers_expires_at", "idempotent_answers", ["expires_at"], unique=False)
    op.create_table(
        "operators",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column(
            "role",
            sa.Enum(
                "owner", "operator", "read_only", name="role", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("oidc_issuer", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.String(length=255), nullable=True),
        sa.Column("disabled_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operators")),
        sa.UniqueConstraint("oidc_issuer", "oidc_subject", name="uq_operators_oidc_subject"),
    )
    op.create_index("uq_operators_email", "operators", ["email"], unique=True)
    op.create_table(
        "rate_windows",
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_rate_windows")),
    )
    op.create_index("ix_rate_windows_ends_at", "rate_windows", ["ends_at"], unique=False)
    op.create_table(
        "operator_sessions",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("last_activity", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.id"], name=op.f("fk_operator_sessions_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_sessions")),
    )
    op.create_index("ix_operator_sessions_expires_at", "operator_sessions", ["expires_at"], unique=False)
    op.create_index("ix_operator_sessions_operator_id", "operator_sessions", ["operator_id"], unique=False)
    op.create_index("uq_operator_sessions_token_hash", "operator_sessions", ["token_hash"], unique=True)
    op.create_table(
        "otp_challenges",
        sa.Column("tenant_id", ID, autoincrement=False, nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_otp_challenges_attempts")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_otp_challenges_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_otp_challenges")),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operators.id"], name=op.f("fk_sign_in_links_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sign_in_links")),
    )
    op.create_index("ix_sign_in_links_operator_id", "sign_in_links", ["operator_id"], unique=False)
    op.create_table(
        "tenant_sessions",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("last_activity", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_sessions_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_sessions")),
    )
    op.create_index("ix_tenant_sessions_expires_at", "tenant_sessions", ["expires_at"], unique=False)
    op.create_index("ix_tenant_sessions_tenant_id", "tenant_sessions", ["tenant_id"], unique=False)
    op.create_index("uq_tenant_sessions_token_hash", "tenant_sessions", ["token_hash"], unique=True)
    op.add_column("platform_events", sa.Column("actor_id", ID, nullable=True))
    op.add_column("platform_events", sa.Column("project_id", sa.String(length=100), nullable=True))
    op.create_index("ix_platform_events_created_at", "platform_events", ["created_at"], unique=False)
    op.create_index("ix_platform_events_event_type_id", "platform_events", ["event_type", "id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_platform_events_event_type_id", table_name="platform_events")
    op.drop_index("ix_platform_events_created_at", table_name="platform_events")
    with op.batch_alter_table("platform_events") as events:
        events.drop_column("project_id")
        events.drop_column("actor_id")
    op.drop_index("uq_tenant_sessions_token_hash", table_name="tenant_sessions")
    op.drop_index("ix_tenant_sessions_tenant_id", table_name="tenant_sessions")
    op.drop_index("ix_tenant_sessions_expires_at", table_name="tenant_sessions")
    op.drop_table("tenant_sessions")
    op.drop_index("ix_sign_in_links_operator_id", table_name="sign_in_links")
    op.drop_table("sign_in_links")
    op.drop_table("otp_challenges")
    op.drop_index("uq_operator_sessions_token_hash", table_name="operator_sessions")
    op.drop_index("ix_operator_sessions_operator_id", table_name="operator_sessions")
    op.drop_index("ix_operator_sessions_expires_at", table_name="operator_sessions")
    op.drop_table("operator_sessions")
    op.drop_index("ix_rate_windows_ends_at", table_name="rate_windows")
    op.drop_table("rate_windows")
    op.drop_index("uq_operators_email", table_name="operators")
    op.drop_table("operators")
    op.drop_index("ix_idempotent_answers_expires_at", table_name="idempotent_answers")
    op.drop_table("idempotent_answers")
    op.drop_index(
        "ix_deliveries_waiting",
        table_name="deliveries",
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.drop_index("ix_deliveries_created_at", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("uq_audit_seals_event_id", table_name="audit_seals")
    op.drop_table("audit_seals")
    op.drop_index("uq_api_tokens_token_hash", table_name="api_tokens")
    op.drop_table("api_tokens")
