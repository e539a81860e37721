"""The ledger, and a plan's budget for model calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and the column."""
    op.create_table(
        "ledger_accounts",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column(
            "unit",
            sa.Enum("runs", "money", name="unit", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column(
            "level",
            sa.Enum(
                "installation",
                "tenant",
                "project",
                "run",
                name="level",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("project_id", sa.String(length=100), nullable=True),
        sa.Column("run_id", ID, nullable=True),
        sa.Column(
            "period",
            sa.Enum("month", "day", "none", name="period", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("reserved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_ledger_accounts_reserved")),
        sa.CheckConstraint("settled >= 0", name=op.f("ck_ledger_accounts_settled")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint("key", name="uq_ledger_accounts_key"),
    )
    op.create_index("ix_ledger_accounts_tenant_id", "ledger_accounts", ["tenant_id"], unique=False)
    op.create_table(
        "ledger_entries",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("reservation_id", ID, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "reserve",
                "settle",
                "unconfirmed",
                "release",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("reserved_change", sa.BigInteger(), nullable=False),
        sa.Column("settled_change", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("reservation_id", "kind", name="uq_ledger_entries_reservation_id_kind"),
    )
    op.create_table(
        "ledger_reservations",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column(
            "unit",
            sa.Enum("runs", "money", name="unit", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "settled",
                "unconfirmed",
                "released",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.Column("executor_id", sa.String(length=100), nullable=True),
        sa.Column("deadline", Instant(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.CheckConstraint("(state = 'open') = (used IS NULL)", name=op.f("ck_ledger_reservations_used")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_ledger_reservations_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_reservations")),
        sa.UniqueConstraint("request_id", name="uq_ledger_reservations_request_id"),
    )
    op.create_index(
        "ix_ledger_reservations_open",
        "ledger_reservations",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
        sqlite_where=sa.text("state = 'open'"),
    )
    # In one statement, because SQLite cannot add a constraint to a column that is there.
    op.execute(
        "ALTER TABLE plans ADD COLUMN monthly_llm_budget BIGINT"
        " CONSTRAINT ck_plans_monthly_llm_budget CHECK (monthly_llm_budget >= 0)"
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("plans", "monthly_llm_budget")
    for table in ("ledger_reservations", "ledger_entries", "ledger_accounts"):
        op.drop_table(table)
