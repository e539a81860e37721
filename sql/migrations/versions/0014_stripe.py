"""What Stripe tells, and what follows from it: customers, facts, checkouts, invoices, payment methods, prices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant, only_where

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and the columns of subscriptions."""
    op.create_table(
        "billing_clock",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("ahead_seconds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ahead_seconds >= 0", name=op.f("ck_billing_clock_ahead_seconds")),
        sa.CheckConstraint("id = 1", name=op.f("ck_billing_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_clock")),
    )
    op.create_table(
        "stripe_prices",
        sa.Column("stripe_price_id", sa.String(length=255), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "recurring_interval",
            sa.Enum(
                "day",
                "week",
                "month",
                "year",
                name="recurring_interval",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("fetched_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("stripe_price_id", name=op.f("pk_stripe_prices")),
    )
    op.create_table(
        "checkouts",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "subscription",
                "plan_change",
                "codes",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "opening",
                "open",
                "paid",
                "expired",
                "failed",
                "refunded",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("plan_id", ID, nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=True),
        sa.Column("label", sa.String(length=255), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("stripe_session_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_payment_intent_id", sa.String(length=255), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("sealed_codes", sa.LargeBinary(), nullable=True),
        sa.Column("codes_shown_at", Instant(), nullable=True),
        sa.Column("code_ids", sa.Text(), nullable=True),
        sa.Column("amount_refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("codes_taken_back", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("codes_kept", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("completed_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.CheckConstraint("(kind = 'codes') = (quantity IS NOT NULL)", name=op.f("ck_checkouts_quantity_of_codes")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_checkouts_quantity")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_checkouts_plan_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_checkouts_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint("stripe_session_id", name="uq_checkouts_stripe_session_id"),
    )
    op.create_index(
        "ix_checkouts_expires_at",
        "checkouts",
        ["expires_at"],
        unique=False,
        **only_where("state IN ('opening', 'open')"),
    )
    op.create_index(
        "ix_checkouts_sealed_codes",
        "checkouts",
        ["completed_at"],
        unique=False,
        **only_where("sealed_codes IS NOT NULL"),
    )
    op.create_index("ix_checkouts_stripe_payment_intent_id", "checkouts", ["stripe_payment_intent_id"], unique=False)
    op.create_index("ix_checkouts_tenant_id", "checkouts", ["tenant_id", "id"], unique=False)
    op.create_index(
        "uq_checkouts_one_plan",
        "checkouts",
        ["tenant_id", "plan_id"],
        unique=True,
        **only_where("kind <> 'codes' AND state IN ('opening', 'open')"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("stripe_invoice_id", sa.String(length=255), nullable=False),
        sa.Column(
            "state",
            sa.Enum("pending", "paid", "failed", name="state", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.String(length=4), nullable=True),
        sa.Column("issued_at", Instant(), nullable=False),
        sa.Column("paid_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_invoices_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("stripe_invoice_id", name="uq_invoices_stripe_invoice_id"),
    )
    op.create_index("ix_invoices_tenant_id", "invoices", ["tenant_id", "issued_at", "id"], unique=False)
    op.create_table(
        "payment_methods",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("stripe_payment_method_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("brand", sa.String(length=50), nullable=True),
        sa.Column("last4", sa.String(length=4), nullable=True),
        sa.Column("exp_month", sa.Integer(), nullable=True),
        sa.Column("exp_year", sa.Integer(), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_payment_methods_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_methods")),
        sa.UniqueConstraint("stripe_payment_method_id", name="uq_payment_methods_stripe_payment_method_id"),
    )
    op.create_index("ix_payment_methods_tenant_id", "payment_methods", ["tenant_id", "id"], unique=False)
    op.create_table(
        "stripe_customers",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("stripe_customer_id", sa.String(length=255), nullable=False),
        sa.Column("state_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("folded_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_stripe_customers_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_customers")),
        sa.UniqueConstraint("stripe_customer_id", name="uq_stripe_customers_stripe_customer_id"),
    )
    op.create_index(
        "uq_stripe_customers_tenant_id",
        "stripe_customers",
        ["tenant_id"],
        unique=True,
        **only_where("tenant_id IS NOT NULL"),
    )
    op.create_table(
        "billing_facts",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("customer_id", ID, nullable=True),
        sa.Column(
            "source",
            sa.Enum(
                "stripe",
                "operator",
                "gateway",
                "reconciliation",
                "portal",
                name="source",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("reference", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=True),
        sa.Column("happened_at", Instant(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("handled_at", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("next_attempt_at", Instant(), nullable=True),
        sa.Column("is_current", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["stripe_customers.id"], name=op.f("fk_billing_facts_customer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_facts")),
        sa.UniqueConstraint("reference", name="uq_billing_facts_reference"),
    )
    op.create_index("ix_billing_facts_object_id", "billing_facts", ["object_id"], unique=False)
    op.create_index("ix_billing_facts_customer_id", "billing_facts", ["customer_id", "happened_at", "id"], unique=False)
    op.create_index(
        "ix_billing_facts_handled_at", "billing_facts", ["handled_at"], unique=False, **only_where("NOT is_current")
    )
    op.create_index(
        "ix_billing_facts_unhandled",
        "billing_facts",
        ["next_attempt_at", "id"],
        unique=False,
        **only_where("handled_at IS NULL"),
    )
    op.add_column("subscriptions", sa.Column("trial_ends_at", Instant(), nullable=True))
    op.add_column(
        "subscriptions",
        sa.Column("cancel_at_period_end", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("subscriptions", "cancel_at_period_end")
    op.drop_column("subscriptions", "trial_ends_at")
    op.drop_table("billing_facts")
    op.drop_table("stripe_customers")
    op.drop_table("payment_methods")
    op.drop_table("invoices")
    op.drop_table("checkouts")
    op.drop_table("stripe_prices")
    op.drop_table("billing_clock")
