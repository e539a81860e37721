"""Metered usage with its sums, and columns and indexes for sorting and searching lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from sql.tables.columns import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ROLLUP_SQLITE = """
CREATE TRIGGER usage_events_rollup AFTER INSERT ON usage_events
BEGIN
    INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events)
    VALUES (new.tenant_id, new.day, new.kind, new.quantity, 1)
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = quantity + excluded.quantity, events = events + 1;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT new.tenant_id, date(new.day, 'start of month'), new.quantity WHERE new.kind = 'run';
END
"""

# In a fixed order, so that two batches with the same sums wait for each other and do not deadlock.
ROLLUP_FUNCTION_POSTGRESQL = """
CREATE FUNCTION usage_events_rollup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_rollups AS sums (tenant_id, day, kind, quantity, events)
    SELECT tenant_id, day, kind, sum(quantity), count(*) FROM inserted
    GROUP BY tenant_id, day, kind ORDER BY tenant_id, day, kind
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = sums.quantity + excluded.quantity, events = sums.events + excluded.events;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT tenant_id, date_trunc('month', day::timestamp)::date, sum(quantity) FROM inserted
    WHERE kind = 'run' GROUP BY 1, 2;
    RETURN NULL;
END $$
"""

ROLLUP_POSTGRESQL = """
CREATE TRIGGER usage_events_rollup AFTER INSERT ON usage_events
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION usage_events_rollup()
"""

OPEN_SQLITE = """
CREATE TRIGGER tenants_runs_opened AFTER INSERT ON tenants
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT new.id, month, 0, new.created_at FROM opened_months;
END
"""

OPEN_FUNCTION_POSTGRESQL = """
CREATE FUNCTION open_monthly_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT added.id, opened_months.month, 0, added.created_at FROM added CROSS JOIN opened_months;
    RETURN NULL;
END $$
"""

OPEN_POSTGRESQL = """
CREATE TRIGGER tenants_runs_opened AFTER INSERT ON tenants
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION open_monthly_runs()
"""

STATE_SQLITE = """
CREATE TRIGGER subscriptions_state_{name} AFTER {change} ON subscriptions
BEGIN
    UPDATE tenants SET subscription_state = (
        SELECT state FROM subscriptions WHERE tenant_id = {row}.tenant_id AND ended_at IS NULL
    ) WHERE id = {row}.tenant_id;
END
"""

STATE_FUNCTION_POSTGRESQL = """
CREATE FUNCTION keep_subscription_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET subscription_state = (
        SELECT state FROM subscriptions WHERE tenant_id = tenants.id AND ended_at IS NULL
    ) WHERE id = CASE TG_OP WHEN 'DELETE' THEN old.tenant_id ELSE new.tenant_id END;
    RETURN NULL;
END $$
"""

STATE_POSTGRESQL = """
CREATE TRIGGER subscriptions_state_{name} AFTER {change} ON subscriptions
FOR EACH ROW {when} EXECUTE FUNCTION keep_subscription_state()
"""

# An UPDATE of seats_used does not fire the trigger, so that an activation neither changes nor locks its tenant's row.
CHANGES = {"insert": "INSERT", "update": "UPDATE OF state, ended_at", "delete": "DELETE"}
MOVES = "WHEN ((old.state, old.ended_at) IS DISTINCT FROM (new.state, new.ended_at))"

TRIGGERS_SQLITE = (
    ROLLUP_SQLITE,
    OPEN_SQLITE,
    *(
        STATE_SQLITE.format(name=name, change=change, row="old" if name == "delete" else "new")
        for name, change in CHANGES.items()
    ),
)
TRIGGERS_POSTGRESQL = (
    ROLLUP_FUNCTION_POSTGRESQL,
    ROLLUP_POSTGRESQL,
    OPEN_FUNCTION_POSTGRESQL,
    OPEN_POSTGRESQL,
    STATE_FUNCTION_POSTGRESQL,
    *(
        STATE_POSTGRESQL.format(name=name, change=change, when=MOVES if name == "update" else "")
        for name, change in CHANGES.items()
    ),
)

# This month and the next one, whatever the time zone.
OPENED_SQLITE = """
INSERT INTO opened_months (month)
VALUES (date('now', 'start of month')), (date('now', 'start of month', '+1 month'))
"""
OPENED_POSTGRESQL = """
INSERT INTO opened_months (month)
SELECT (date_trunc('month', now()) + months * interval '1 month')::date FROM generate_series(0, 1) AS months
"""

# For the rows that exist already.
FILL = (
    """INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT tenants.id, opened_months.month, 0, tenants.created_at FROM tenants CROSS JOIN opened_months""",
    """UPDATE tenants SET subscription_state = (
        SELECT state FROM subscriptions WHERE tenant_id = tenants.id AND ended_at IS NULL
    )""",
)

# Not every server offers the extension; nothing depends on it.
TRIGRAMS = (("tenants", "name"), ("tenants", "slug"), ("activation_codes", "label"), ("devices", "label"))


def upgrade() -> None:
    """Create the tables, the triggers that maintain the sums, and the indexes."""
    op.create_table(
        "usage_events",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("event_id", sa.String(length=100), nullable=False),
        sa.Column("device_id", ID, nullable=True),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.CheckConstraint("quantity >= 1", name=op.f("ck_usage_events_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_usage_events_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", name=op.f("pk_usage_events")),
    )
    op.create_index("ix_usage_events_day", "usage_events", ["day"], unique=False)
    op.create_table(
        "usage_rollups",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_usage_rollups_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "day", "kind", name=op.f("pk_usage_rollups")),
    )
    op.create_table(
        "monthly_runs",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("tenant_created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_monthly_runs_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "month", name=op.f("pk_monthly_runs")),
    )
    for name, runs in (("least", sa.text("runs")), ("most", sa.text("runs DESC"))):
        op.create_index(
            f"ix_monthly_runs_{name}",
            "monthly_runs",
            ["month", runs, sa.text("tenant_created_at DESC"), sa.text("tenant_id DESC")],
        )
    op.create_table(
        "run_changes",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_changes")),
    )
    op.create_table(
        "opened_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_opened_months")),
    )
    op.add_column("tenants", sa.Column("subscription_state", sa.String(length=32), nullable=True))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in TRIGGERS_SQLITE if is_sqlite else TRIGGERS_POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)
    op.execute(OPENED_SQLITE if is_sqlite else OPENED_POSTGRESQL)
    for statement in FILL:
        op.execute(statement)
    op.create_index("ix_tenants_name_created_at_id", "tenants", ["name", "created_at", "id"])
    op.create_index("ix_tenants_created_at_id", "tenants", ["created_at", "id"])
    op.create_index("ix_tenants_updated_at_created_at_id", "tenants", ["updated_at", "created_at", "id"])
    op.create_index(
        "ix_tenants_subscription_state_created_at_id", "tenants", ["subscription_state", "created_at", "id"]
    )
    op.create_index("ix_activation_codes_tenant_id_created_at", "activation_codes", ["tenant_id", "created_at"])
    op.create_index("ix_activation_codes_hint_id", "activation_codes", ["hint", "id"])
    op.create_index("ix_devices_hw_fingerprint", "devices", ["hw_fingerprint"])
    if not is_sqlite:
        _make_trigram_indexes(op.get_bind())


def _make_trigram_indexes(connection: sa.Connection) -> None:
    extension = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if extension is None:
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for table, column in TRIGRAMS:
                name, part = f"ix_{table}_{column}_trigram", f"lower({column}) gin_trgm_ops"
                connection.execute(sa.text(f"CREATE INDEX {name} ON {table} USING gin ({part})"))
    except DBAPIError:
        return


def downgrade() -> None:
    """Drop them; the extension stays, because others may use it."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        for table, column in TRIGRAMS:
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_{column}_trigram")
    for index, table in (
        ("ix_devices_hw_fingerprint", "devices"),
        ("ix_activation_codes_hint_id", "activation_codes"),
        ("ix_activation_codes_tenant_id_created_at", "activation_codes"),
        ("ix_tenants_subscription_state_created_at_id", "tenants"),
        ("ix_tenants_updated_at_created_at_id", "tenants"),
        ("ix_tenants_created_at_id", "tenants"),
        ("ix_tenants_name_created_at_id", "tenants"),
    ):
        op.drop_index(index, table_name=table)
    for trigger, table in (
        ("tenants_runs_opened", "tenants"),
        *((f"subscriptions_state_{name}", "subscriptions") for name in CHANGES),
    ):
        op.execute(f"DROP TRIGGER {trigger}" if is_sqlite else f"DROP TRIGGER {trigger} ON {table}")
    op.drop_column("tenants", "subscription_state")
    for table in ("monthly_runs", "run_changes", "opened_months", "usage_rollups", "usage_events"):
        op.drop_table(table)
    if not is_sqlite:
        for function in ("usage_events_rollup", "open_monthly_runs", "keep_subscription_state"):
            op.execute(f"DROP FUNCTION {function}()")
