"""Metered usage: each event once, and sums per day and kind and per month, which triggers maintain."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
)

from sql.dialect import installer
from sql.sums import MAX_DAY_QUANTITY
from sql.tables.columns import Id, Instant, id_column, metadata, only_where

usage_events = Table(
    "usage_events",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # The sender's id of the event: because of it a repeated event is not counted again.
    Column("event_id", String(100), nullable=False),
    # A plain number without a foreign key: the event outlives its device.
    Column("device_id", Id),
    Column("kind", String(50), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    # The day of ``at`` in the installation's time zone.
    Column("day", Date, nullable=False),
    Column("metadata", Text),
    Column("received_at", Instant, nullable=False),
    # A wrong event is voided and stays: it counts in no sum, and its id is not free again.
    Column("voided_at", Instant),
    Column("voided_by", String(255)),
    PrimaryKeyConstraint("tenant_id", "event_id"),
    CheckConstraint("quantity >= 1", name="quantity"),
    Index("ix_usage_events_day", "day"),
    # The few that were voided.
    Index("ix_usage_events_voided", "tenant_id", "event_id", **only_where("voided_at IS NOT NULL")),
)

usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("day", Date, nullable=False),
    Column("kind", String(50), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "kind"),
    # An event that would pass it is refused: no sum of days can be more than both databases hold.
    CheckConstraint(f"quantity <= {MAX_DAY_QUANTITY}", name="quantity"),
)

# The list of tenants is ordered by these: the runs of a month, without changes that are not folded yet, and the columns
# that order equals, so that one index serves the list. In an opened month a tenant without any run has a row too.
monthly_runs = Table(
    "monthly_runs",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("month", Date, nullable=False),
    Column("runs", BigInteger, nullable=False),
    # A copy; it never changes.
    Column("tenant_created_at", Instant, nullable=False),
    PrimaryKeyConstraint("tenant_id", "month"),
)
# Among equals the newest tenant comes first, in ascending and in descending order, so each order has its own index:
# equals are many, because all tenants without a run are.
for _name, _runs in (("least", monthly_runs.c.runs), ("most", monthly_runs.c.runs.desc())):
    Index(
        f"ix_monthly_runs_{_name}",
        monthly_runs.c.month,
        _runs,
        monthly_runs.c.tenant_created_at.desc(),
        monthly_runs.c.tenant_id.desc(),
    )

# A trigger only inserts here, in the transaction of the events, and a schedule folds the rows into the months. Updating
# the months in that transaction would cost as much as updating the days, because the runs are in an index.
run_changes = Table(
    "run_changes",
    metadata,
    id_column(),
    # A plain number without a foreign key: the fold skips the changes of a deleted tenant.
    Column("tenant_id", Id, nullable=False),
    Column("month", Date, nullable=False),
    Column("runs", BigInteger, nullable=False),
)

# The months in which every tenant has a row.
opened_months = Table("opened_months", metadata, Column("month", Date, primary_key=True))

_ROLLUP_SQLITE = """
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
_ROLLUP_FUNCTION_POSTGRESQL = """
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

_ROLLUP_POSTGRESQL = """
CREATE TRIGGER usage_events_rollup AFTER INSERT ON usage_events
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION usage_events_rollup()
"""

# An event that is voided leaves its sums, and one that is no longer voided comes back to them.
_VOID_SQLITE = """
CREATE TRIGGER usage_events_void AFTER UPDATE OF voided_at ON usage_events
WHEN (old.voided_at IS NULL) <> (new.voided_at IS NULL)
BEGIN
    INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events)
    VALUES (
        new.tenant_id, new.day, new.kind,
        CASE WHEN new.voided_at IS NULL THEN new.quantity ELSE -new.quantity END,
        CASE WHEN new.voided_at IS NULL THEN 1 ELSE -1 END
    )
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = quantity + excluded.quantity, events = events + excluded.events;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT new.tenant_id, date(new.day, 'start of month'),
        CASE WHEN new.voided_at IS NULL THEN new.quantity ELSE -new.quantity END
    WHERE new.kind = 'run';
END
"""

_VOID_FUNCTION_POSTGRESQL = """
CREATE FUNCTION usage_events_void() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_rollups AS sums (tenant_id, day, kind, quantity, events)
    SELECT after.tenant_id, after.day, after.kind,
        sum(CASE WHEN after.voided_at IS NULL THEN after.quantity ELSE -after.quantity END),
        sum(CASE WHEN after.voided_at IS NULL THEN 1 ELSE -1 END)
    FROM after JOIN before ON before.tenant_id = after.tenant_id AND before.event_id = after.event_id
    WHERE (before.voided_at IS NULL) <> (after.voided_at IS NULL)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = sums.quantity + excluded.quantity, events = sums.events + excluded.events;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT after.tenant_id, date_trunc('month', after.day::timestamp)::date,
        sum(CASE WHEN after.voided_at IS NULL THEN after.quantity ELSE -after.quantity END)
    FROM after JOIN before ON before.tenant_id = after.tenant_id AND before.event_id = after.event_id
    WHERE after.kind = 'run' AND (before.voided_at IS NULL) <> (after.voided_at IS NULL)
    GROUP BY 1, 2;
    RETURN NULL;
END $$
"""

_VOID_POSTGRESQL = """
CREATE TRIGGER usage_events_void AFTER UPDATE ON usage_events
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION usage_events_void()
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

_SQLITE = (_ROLLUP_SQLITE, _VOID_SQLITE, _OPEN_SQLITE)
_POSTGRESQL = (
    _ROLLUP_FUNCTION_POSTGRESQL,
    _ROLLUP_POSTGRESQL,
    _VOID_FUNCTION_POSTGRESQL,
    _VOID_POSTGRESQL,
    _OPEN_FUNCTION_POSTGRESQL,
    _OPEN_POSTGRESQL,
)

event.listen(metadata, "after_create", installer(sqlite=_SQLITE, postgresql=_POSTGRESQL))
