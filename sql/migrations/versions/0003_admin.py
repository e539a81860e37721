"""What lists are ordered and counted by: indexes, rows counted and runs added up by the database itself."""

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
COUNTED = ("activation_codes", "devices", "tenants")
IS_CURRENT = sa.text("ended_at IS NULL")

COUNT_SQLITE = """
CREATE TRIGGER {table}_{what}_counted AFTER {what} ON {table}
BEGIN
    INSERT INTO row_counts (name, total) VALUES ('{table}', {by})
    ON CONFLICT (name) DO UPDATE SET total = total + excluded.total;
END
"""

COUNT_FUNCTION_POSTGRESQL = """
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_count_changes (name, delta)
    SELECT TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM changed HAVING count(*) > 0;
    RETURN NULL;
END $$
"""

COUNT_POSTGRESQL = """
CREATE TRIGGER {table}_{what}_counted AFTER {what} ON {table}
REFERENCING {side} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
"""

RUNS_SQLITE = """
CREATE TRIGGER usage_rollups_{what}_runs AFTER {what} ON usage_rollups WHEN new.kind = 'run'
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT new.tenant_id, date(new.day, 'start of month'), {by}, created_at FROM tenants WHERE id = new.tenant_id
    ON CONFLICT (tenant_id, month) DO UPDATE SET runs = runs + excluded.runs;
END
"""

# Ordered, so that two batches that touch the same sums wait for each other instead of deadlocking.
RUNS_FUNCTION_POSTGRESQL = """
CREATE FUNCTION add_monthly_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO monthly_runs AS sums (tenant_id, month, runs, tenant_created_at)
        SELECT tenants.id, date_trunc('month', added.day::timestamp)::date AS month, sum(added.quantity),
            tenants.created_at
        FROM added JOIN tenants ON tenants.id = added.tenant_id WHERE added.kind = 'run'
        GROUP BY tenants.id, 2 ORDER BY tenants.id, 2
        ON CONFLICT (tenant_id, month) DO UPDATE SET runs = sums.runs + excluded.runs;
    ELSE
        INSERT INTO monthly_runs AS sums (tenant_id, month, runs, tenant_created_at)
        SELECT tenants.id, date_trunc('month', moved.day::timestamp)::date AS month, sum(moved.quantity),
            tenants.created_at
        FROM (
            SELECT tenant_id, day, quantity FROM rows_now WHERE kind = 'run'
            UNION ALL SELECT tenant_id, day, -quantity FROM rows_before WHERE kind = 'run'
        ) AS moved JOIN tenants ON tenants.id = moved.tenant_id
        GROUP BY tenants.id, 2 ORDER BY tenants.id, 2
        ON CONFLICT (tenant_id, month) DO UPDATE SET runs = sums.runs + excluded.runs;
    END IF;
    RETURN NULL;
END $$
"""

RUNS_POSTGRESQL = """
CREATE TRIGGER usage_rollups_{what}_runs AFTER {what} ON usage_rollups
REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION add_monthly_runs()
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

TRIGGERS_SQLITE = (
    *(
        COUNT_SQLITE.format(table=table, what=what, by=by)
        for table in COUNTED
        for what, by in (("insert", 1), ("delete", -1))
    ),
    RUNS_SQLITE.format(what="insert", by="new.quantity"),
    RUNS_SQLITE.format(what="update", by="new.quantity - old.quantity"),
    OPEN_SQLITE,
)
TRIGGERS_POSTGRESQL = (
    COUNT_FUNCTION_POSTGRESQL,
    *(
        COUNT_POSTGRESQL.format(table=table, what=what, side=side)
        for table in COUNTED
        for what, side in (("insert", "NEW"), ("delete", "OLD"))
    ),
    RUNS_FUNCTION_POSTGRESQL,
    RUNS_POSTGRESQL.format(what="insert", tables="NEW TABLE AS added"),
    RUNS_POSTGRESQL.format(what="update", tables="OLD TABLE AS rows_before NEW TABLE AS rows_now"),
    OPEN_FUNCTION_POSTGRESQL,
    OPEN_POSTGRESQL,
)

# What there is already; the months of the tenants' rows are this one and the next, in whatever zone.
FILL_SQLITE = (
    """INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT tenants.id, date(day, 'start of month'), sum(quantity), tenants.created_at
    FROM usage_rollups JOIN tenants ON tenants.id = tenant_id WHERE kind = 'run' GROUP BY tenants.id, 2""",
    "INSERT INTO opened_months (month) VALUES (date('now', 'start of month'))",
    "INSERT INTO opened_months (month) VALUES (date('now', 'start of month', '+1 month'))",
)
FILL_POSTGRESQL = (
    """INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT tenants.id, date_trunc('month', day::timestamp)::date, sum(quantity), tenants.created_at
    FROM usage_rollups JOIN tenants ON tenants.id = tenant_id WHERE kind = 'run' GROUP BY tenants.id, 2""",
    """INSERT INTO opened_months (month)
    SELECT (date_trunc('month', now()) + months * interval '1 month')::date FROM generate_series(0, 1) AS months""",
)
FILL = (
    """INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT tenants.id, opened_months.month, 0, tenants.created_at FROM tenants CROSS JOIN opened_months WHERE true
    ON CONFLICT (tenant_id, month) DO NOTHING""",
    *(f"INSERT INTO row_counts (name, total) SELECT '{table}', count(*) FROM {table}" for table in COUNTED),  # noqa: S608
)

# Not every server offers the extension, and nothing depends on it.
TRIGRAMS = (("tenants", "name"), ("tenants", "slug"), ("activation_codes", "label"), ("devices", "label"))


def upgrade() -> None:
    """Build the tables and their triggers, fill them with what is there, and index what is sorted by."""
    op.create_table(
        "row_counts",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_row_counts")),
    )
    op.create_table(
        "row_count_changes",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_count_changes")),
    )
    op.create_table(
        "opened_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_opened_months")),
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
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    # The triggers hold the tables' writers back until everything is filled.
    for statement in TRIGGERS_SQLITE if is_sqlite else TRIGGERS_POSTGRESQL:
        op.execute(statement)
    for statement in (*(FILL_SQLITE if is_sqlite else FILL_POSTGRESQL), *FILL):
        op.execute(statement)
    op.create_index(
        "ix_monthly_runs_month_runs",
        "monthly_runs",
        ["month", "runs", sa.text("tenant_created_at DESC"), sa.text("tenant_id DESC")],
    )
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
    triggers = [(f"{table}_{what}_counted", table) for table in COUNTED for what in ("insert", "delete")]
    triggers += [(f"usage_rollups_{what}_runs", "usage_rollups") for what in ("insert", "update")]
    triggers.append(("tenants_runs_opened", "tenants"))
    for name, table in triggers:
        op.execute(f"DROP TRIGGER {name}" if is_sqlite else f"DROP TRIGGER {name} ON {table}")
    if not is_sqlite:
        for function in ("count_rows", "add_monthly_runs", "open_monthly_runs"):
            op.execute(f"DROP FUNCTION {function}()")
        for table, column in (
            ("tenants", "name"),
            ("tenants", "slug"),
            ("activation_codes", "label"),
            ("devices", "label"),
        ):
            op.execute(f"DROP INDEX IF EXISTS ix_{table}_{column}_trigram")
    for index, table in (
        ("ix_devices_hw_fingerprint", "devices"),
        ("ix_activation_codes_hint_id", "activation_codes"),
        ("ix_activation_codes_tenant_id_created_at", "activation_codes"),
        ("ix_subscriptions_state_tenant_id", "subscriptions"),
        ("ix_tenants_updated_at_created_at_id", "tenants"),
        ("ix_tenants_created_at_id", "tenants"),
        ("ix_tenants_name_created_at_id", "tenants"),
        ("ix_monthly_runs_month_runs", "monthly_runs"),
    ):
        op.drop_index(index, table_name=table)
    for table in ("monthly_runs", "opened_months", "row_count_changes", "row_counts"):
        op.drop_table(table)
