"""Plans, and the subscription by which a tenant holds one."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, text

from sql.tables.columns import Id, Instant, choice, id_column, metadata

SUBSCRIPTION_STATES = ("active", "past_due", "canceled", "unpaid", "trialing", "suspended")

plans = Table(
    "plans",
    metadata,
    id_column(),
    Column("name", String(100), nullable=False),
    Column("stripe_price_id", String(255), nullable=False),
    Column("monthly_run_quota", Integer, nullable=False),
    # Null: as many devices as the tenant has codes for.
    Column("max_devices", Integer),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("name", name="uq_plans_name"),
    UniqueConstraint("stripe_price_id", name="uq_plans_stripe_price_id"),
    CheckConstraint("monthly_run_quota >= 0", name="monthly_run_quota"),
    CheckConstraint("max_devices >= 0", name="max_devices"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("plan_id", Id, ForeignKey("plans.id"), nullable=False),
    choice("state", *SUBSCRIPTION_STATES),
    # The one counter that guards the device limit; moved only by a conditional statement.
    Column("seats_used", Integer, nullable=False, server_default=text("0")),
    Column("current_period_start", Instant),
    Column("current_period_end", Instant),
    Column("grace_until", Instant),
    Column("stripe_customer_id", String(255)),
    Column("stripe_subscription_id", String(255)),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # A tenant has one current subscription: the one that has not ended.
    Column("ended_at", Instant),
    CheckConstraint("seats_used >= 0", name="seats_used"),
    Index(
        "uq_subscriptions_current",
        "tenant_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
    Index(
        "uq_subscriptions_stripe_customer_id",
        "stripe_customer_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
    UniqueConstraint("stripe_subscription_id", name="uq_subscriptions_stripe_subscription_id"),
    Index("ix_subscriptions_tenant_id", "tenant_id"),
    Index("ix_subscriptions_plan_id", "plan_id"),
    # The tenants with the most devices.
    Index(
        "ix_subscriptions_seats_used",
        "seats_used",
        "id",
        postgresql_where=text("state = 'active' AND ended_at IS NULL"),
        sqlite_where=text("state = 'active' AND ended_at IS NULL"),
    ),
    # Counts the tenants in a state.
    Index(
        "ix_subscriptions_state_tenant_id",
        "state",
        "tenant_id",
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
)
