"""Figures that the database itself keeps, so that no list counts or adds what it shows: rows, and runs of a month."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, PrimaryKeyConstraint, String, Table, event

from sql.dialect import installer
from sql.tables.columns import Id, Instant, id_column, metadata

# How many rows a table has is the total here and the changes since it was folded. On PostgreSQL a change is a row of
# its own, because a counter that every activation moves would make them wait for each other; SQLite has one writer.
row_counts = Table(
    "row_counts",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("total", BigInteger, nullable=False),
)

row_count_changes = Table(
    "row_count_changes",
    metadata,
    id_column(),
    Column("name", String(50), nullable=False),
    Column("delta", BigInteger, nullable=False),
)

# The daily sums of kind ``run``, added up by month, with what tenants are ordered by beside it: one index serves the
# list of tenants by usage. In a month that is opened, a tenant without any run has a row too.
monthly_runs = Table(
    "monthly_runs",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("month", Date, nullable=False),
    Column("runs", BigInteger, nullable=False),
    # A copy of what never changes.
    Column("tenant_created_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant_id", "month"),
)
# The newest first among equals: in the ascending order, which begins with everybody who has not used anything.
Index(
    "ix_monthly_runs_month_runs",
    monthly_runs.c.month,
    monthly_runs.c.runs,
    monthly_runs.c.tenant_created_at.desc(),
    monthly_runs.c.tenant_id.desc(),
)

# The months in which every tenant has its row.
opened_months = Table("opened_months", metadata, Column("month", Date, primary_key=True))

COUNTED = ("activation_codes", "devices", "tenants")

_COUNT_SQLITE = """
CREATE TRIGGER {table}_{what}_counted AFTER {what} ON {table}
BEGIN
    INSERT INTO row_counts (name, total) VALUES ('{table}', {by})
    ON CONFLICT (name) DO UPDATE SET total = total + excluded.total;
END
"""

_COUNT_FUNCTION_POSTGRESQL = """
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_count_changes (name, delta)
    SELECT TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM changed HAVING count(*) > 0;
    RETURN NULL;
END $$
"""

_COUNT_POSTGRESQL = """
CREATE TRIGGER {table}_{what}_counted AFTER {what} ON {table}
REFERENCING {side} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
"""

_RUNS_SQLITE = """
CREATE TRIGGER usage_rollups_{what}_runs AFTER {what} ON usage_rollups WHEN new.kind = 'run'
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT new.tenant_id, date(new.day, 'start of month'), {by}, created_at FROM tenants WHERE id = new.tenant_id
    ON CONFLICT (tenant_id, month) DO UPDATE SET runs = runs + excluded.runs;
END
"""

# Ordered, so that two batches that touch the same sums wait for each other instead of deadlocking.
_RUNS_FUNCTION_POSTGRESQL = """
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

_RUNS_POSTGRESQL = """
CREATE TRIGGER usage_rollups_{what}_runs AFTER {what} ON usage_rollups
REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION add_monthly_runs()
"""

_OPEN_SQLITE = """
CREATE TRIGGER tenants_runs_opened AFTER INSERT ON tenants
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT new.id, month, 0, new.created_at FROM opened_months;
END
"""

_OPEN_FUNCTION_POSTGRESQL = """
CREATE FUNCTION open_monthly_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO monthly_runs (tenant_id, month, runs, tenant_created_at)
    SELECT added.id, opened_months.month, 0, added.created_at FROM added CROSS JOIN opened_months;
    RETURN NULL;
END $$
"""

_OPEN_POSTGRESQL = """
CREATE TRIGGER tenants_runs_opened AFTER INSERT ON tenants
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION open_monthly_runs()
"""

_SQLITE = (
    *(
        _COUNT_SQLITE.format(table=table, what=what, by=by)
        for table in COUNTED
        for what, by in (("insert", 1), ("delete", -1))
    ),
    _RUNS_SQLITE.format(what="insert", by="new.quantity"),
    _RUNS_SQLITE.format(what="update", by="new.quantity - old.quantity"),
    _OPEN_SQLITE,
)
_POSTGRESQL = (
    _COUNT_FUNCTION_POSTGRESQL,
    *(
        _COUNT_POSTGRESQL.format(table=table, what=what, side=side)
        for table in COUNTED
        for what, side in (("insert", "NEW"), ("delete", "OLD"))
    ),
    _RUNS_FUNCTION_POSTGRESQL,
    _RUNS_POSTGRESQL.format(what="insert", tables="NEW TABLE AS added"),
    _RUNS_POSTGRESQL.format(what="update", tables="OLD TABLE AS rows_before NEW TABLE AS rows_now"),
    _OPEN_FUNCTION_POSTGRESQL,
    _OPEN_POSTGRESQL,
)

event.listen(metadata, "after_create", installer(sqlite=_SQLITE, postgresql=_POSTGRESQL))
