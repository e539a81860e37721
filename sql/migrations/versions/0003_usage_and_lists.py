"""Metered usage with the sums that the database keeps, and what lists are ordered by and searched in."""

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
IS_CURRENT = sa.text("ended_at IS NULL")

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

# Ordered, so that two batches that touch the same sums wait for each other instead of deadlocking.
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

TRIGGERS_SQLITE = (ROLLUP_SQLITE, OPEN_SQLITE)
TRIGGERS_POSTGRESQL = (ROLLUP_FUNCTION_POSTGRESQL, ROLLUP_POSTGRESQL, OPEN_FUNCTION_POSTGRESQL, OPEN_POSTGRESQL)

# This month and the next, in whatever zone.
OPENED_SQLITE = """
INSERT INTO opened_months (month)
VALUES (date('now', 'start of month')), (date('now', 'start of month', '+1 month'))
"""
OPENED_POSTGRESQL = """
INSERT INTO opened_months (month)
SELECT (date_trunc('month', now()) + months * interval '1 month')::date FROM generate_series(0, 1) AS months
"""

FILL = """
INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
SELECT tenants.id, opened_months.month, 0, tenants.created_at FROM tenants CROSS JOIN opened_months
"""

# Not every server offers the extension, and nothing depends on it.
TRIGRAMS = (("tenants", "name"), ("tenants", "slug"), ("activation_codes", "label"), ("devices", "label"))


def upgrade() -> None:
    """Build the tables of usage and the triggers that keep its sums, and index what is sorted by and searched in."""
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
    op.create_index(
        "ix_monthly_runs_month_runs",
        "monthly_runs",
        ["month", "runs", sa.text("tenant_created_at DESC"), sa.text("tenant_id DESC")],
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
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in TRIGGERS_SQLITE if is_sqlite else TRIGGERS_POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)
    op.execute(OPENED_SQLITE if is_sqlite else OPENED_POSTGRESQL)
    op.execute(FILL)
    op.create_index("ix_tenants_name_created_at_id", "tenants", ["name", "created_at", "id"])
    op.create_index("ix_tenants_created_at_id", "tenants", ["created_at", "id"])
    op.create_index("ix_tenants_updated_at_created_at_id", "tenants", ["updated_at", "created_at", "id"])
    op.create_index(
        "ix_subscriptions_state_tenant_id",
        "subscriptions",
        ["state", "tenant_id"],
        postgresql_where=IS_CURRENT,
        sqlite_where=IS_CURRENT,
    )
    op.create_index("ix_activation_codes_tenant_id_created_at", "activation_codes", ["tenant_id", "created_at"])
    op.create_index("ix_activation_codes_hint_id", "activation_codes", ["hint", "id"])
    op.create_index("ix_devices_hw_fingerprint", "devices", ["hw_fingerprint"])
    if not is_sqlite:
        _make_trigram_indexes(op.get_bind())


def _make_trigram_indexes(connection: sa.Connection) -> None:
    offered = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if offered is None:
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
    """Take them away; the extension stays where others may use it."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        for table, column in TRIGRAMS:
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_{column}_trigram")
    for index, table in (
        ("ix_devices_hw_fingerprint", "devices"),
        ("ix_activation_codes_hint_id", "activation_codes"),
        ("ix_activation_codes_tenant_id_created_at", "activation_codes"),
        ("ix_subscriptions_state_tenant_id", "subscriptions"),
        ("ix_tenants_updated_at_created_at_id", "tenants"),
        ("ix_tenants_created_at_id", "tenants"),
        ("ix_tenants_name_created_at_id", "tenants"),
    ):
        op.drop_index(index, table_name=table)
    op.execute("DROP TRIGGER tenants_runs_opened" + ("" if is_sqlite else " ON tenants"))
    for table in ("monthly_runs", "run_changes", "opened_months", "usage_rollups", "usage_events"):
        op.drop_table(table)
    if not is_sqlite:
        op.execute("DROP FUNCTION usage_events_rollup()")
        op.execute("DROP FUNCTION open_monthly_runs()")
