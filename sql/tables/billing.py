"""Plans, and the subscriptions of tenants to them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    event,
    false,
    text,
)

from sql.dialect import installer
from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where

SUBSCRIPTION_STATES = ("active", "past_due", "canceled", "unpaid", "trialing", "suspended")

plans = Table(
    "plans",
    metadata,
    id_column(),
    Column("name", String(100), nullable=False),
    Column("stripe_price_id", String(255), nullable=False),
    Column("monthly_run_quota", Integer, nullable=False),
    # Null: no limit but the tenant's activation codes.
    Column("max_devices", Integer),
    # What the tenant's model calls may cost a month, in 1e-9 USD. Null: no limit but those above and below it.
    Column("monthly_llm_budget", BigInteger),
    # Whether the tenant's own programs may void usage events.
    Column("tenant_may_void", Boolean, nullable=False, server_default=false()),
    # After so many days without a sign of life a device gives its seat back. Null: never.
    Column("device_idle_days", Integer),
    # Whether a tenant may revoke its devices by itself; it may always release them.
    Column("tenant_may_revoke", Boolean, nullable=False, server_default=false()),
    # How often a device may be activated anew on one day. Null: no bound.
    Column("device_moves_per_day", Integer),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("name", name="uq_plans_name"),
    UniqueConstraint("stripe_price_id", name="uq_plans_stripe_price_id"),
    CheckConstraint("monthly_run_quota >= 0", name="monthly_run_quota"),
    CheckConstraint("max_devices >= 0", name="max_devices"),
    CheckConstraint("monthly_llm_budget >= 0", name="monthly_llm_budget"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("plan_id", Id, ForeignKey("plans.id"), nullable=False),
    choice("state", *SUBSCRIPTION_STATES),
    # The counter that enforces the device limit; only conditional statements change it.
    Column("seats_used", Integer, nullable=False, server_default=text("0")),
    # What this customer has instead of the plan's figures. Null: the plan's.
    Column("max_devices_override", Integer),
    Column("monthly_run_quota_override", Integer),
    Column("current_period_start", Instant),
    Column("current_period_end", Instant),
    # A subscription that is past due is licensed until then; null: not at all.
    Column("grace_until", Instant),
    # A trial with an end is over then, also where nobody has said so. Null: it ends when somebody ends it.
    Column("trial_ends_at", Instant),
    # The grace and the trial of which the tenant was told that they have begun or will end: each once.
    Column("told_of_grace", Instant),
    Column("told_of_trial", Instant),
    # Whether it ends with its period instead of being renewed.
    Column("cancel_at_period_end", Boolean, nullable=False, server_default=false()),
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
        **only_where("ended_at IS NULL"),
    ),
    Index(
        "uq_subscriptions_stripe_customer_id",
        "stripe_customer_id",
        unique=True,
        **only_where("ended_at IS NULL"),
    ),
    UniqueConstraint("stripe_subscription_id", name="uq_subscriptions_stripe_subscription_id"),
    Index("ix_subscriptions_tenant_id", "tenant_id"),
    Index("ix_subscriptions_plan_id", "plan_id"),
    # Those whose end is not in Stripe's hands alone.
    Index(
        "ix_subscriptions_graces",
        "grace_until",
        **only_where("state = 'past_due' AND ended_at IS NULL AND grace_until IS NOT NULL"),
    ),
    Index(
        "ix_subscriptions_trials",
        "trial_ends_at",
        **only_where("state = 'trialing' AND ended_at IS NULL AND trial_ends_at IS NOT NULL"),
    ),
    # Those whose runs are other ones than the plan's, for the sum of all quotas.
    Index(
        "ix_subscriptions_run_quota_overrides",
        "plan_id",
        **only_where("state = 'active' AND ended_at IS NULL AND monthly_run_quota_override IS NOT NULL"),
    ),
    # The tenants with the most devices.
    Index(
        "ix_subscriptions_seats_used",
        "seats_used",
        "id",
        **only_where("state = 'active' AND ended_at IS NULL"),
    ),
)

_STATE_SQLITE = """
CREATE TRIGGER subscriptions_state_{name} AFTER {change} ON subscriptions
BEGIN
    UPDATE tenants SET subscription_state = (
        SELECT state FROM subscriptions WHERE tenant_id = {row}.tenant_id AND ended_at IS NULL
    ) WHERE id = {row}.tenant_id;
END
"""

_STATE_FUNCTION_POSTGRESQL = """
CREATE FUNCTION keep_subscription_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET subscription_state = (
        SELECT state FROM subscriptions WHERE tenant_id = tenants.id AND ended_at IS NULL
    ) WHERE id = CASE TG_OP WHEN 'DELETE' THEN old.tenant_id ELSE new.tenant_id END;
    RETURN NULL;
END $$
"""

_STATE_POSTGRESQL = """
CREATE TRIGGER subscriptions_state_{name} AFTER {change} ON subscriptions
FOR EACH ROW {when} EXECUTE FUNCTION keep_subscription_state()
"""

# An UPDATE of seats_used does not fire the trigger, so that an activation neither changes nor locks its tenant's row.
_FIRING_CHANGES = {"insert": "INSERT", "update": "UPDATE OF state, ended_at", "delete": "DELETE"}
_WHEN_DIFFERENT = "WHEN ((old.state, old.ended_at) IS DISTINCT FROM (new.state, new.ended_at))"

_SQLITE = [
    _STATE_SQLITE.format(name=name, change=change, row="old" if name == "delete" else "new")
    for name, change in _FIRING_CHANGES.items()
]
_POSTGRESQL = [
    _STATE_FUNCTION_POSTGRESQL,
    *(
        _STATE_POSTGRESQL.format(name=name, change=change, when=_WHEN_DIFFERENT if name == "update" else "")
        for name, change in _FIRING_CHANGES.items()
    ),
]

event.listen(metadata, "after_create", installer(sqlite=_SQLITE, postgresql=_POSTGRESQL))
