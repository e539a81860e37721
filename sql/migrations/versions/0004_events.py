"""Figures of the dashboards, which triggers maintain, and indexes for the list of events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
QUARTER_SECONDS = 900
NEVER = 2**31 - 1
QUARTER_SQLITE = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
QUARTER_POSTGRESQL = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
CURRENT = sa.text("state = 'active' AND ended_at IS NULL")
HELD = sa.text("NOT is_revoked")
OLD_INDEXES = (["created_at"], ["event_type", "id"], ["tenant_id", "id"])
NEW_INDEXES = (
    ["created_at", "id"],
    ["tenant_id", "created_at", "id"],
    ["event_type", "created_at", "id"],
    ["actor_name", "created_at", "id"],
)


class Metric(NamedTuple):
    """A copy from sql/tables/statistics.py as it was when this migration was written."""

    name: str
    moment: str
    condition: str = "1 = 1"
    dimension: str = "''"


METRICS_BY_TABLE = {
    "activation_codes": (
        Metric("codes_created", "created_at"),
        Metric("codes_used", "used_at", "{row}.used_at IS NOT NULL"),
        Metric("codes_revoked", "revoked_at", "{row}.revoked_at IS NOT NULL"),
        Metric("codes_expiring", "expires_at", "{row}.expires_at IS NOT NULL"),
        # By expiry, so that readers can subtract the codes that have expired since.
        Metric("codes_held", "expires_at", "{row}.revoked_at IS NULL"),
        Metric("codes_open", "expires_at", "{row}.revoked_at IS NULL AND {row}.use_count < {row}.max_uses"),
    ),
    "devices": (
        Metric("devices_created", "created_at"),
        Metric("devices_held", "created_at", "NOT {row}.is_revoked"),
    ),
    "subscriptions": (
        Metric("subscriptions_current", "", "{row}.ended_at IS NULL", "{row}.plan_id || ':' || {row}.state"),
    ),
    "tenants": (Metric("tenants_created", "created_at"),),
}
# The columns whose UPDATE fires a trigger. A heartbeat and a change of seats must not pay for a trigger, so their
# columns are not among these.
UPDATES = {
    "devices": ("is_revoked", "created_at"),
    "subscriptions": ("plan_id", "state", "ended_at"),
}
INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"


def _moves(table: str, quarter: str, signs: dict[str, int], source: str = "") -> str:
    """A query for the changes of all the table's metrics by the rows ``signs`` names, each with its sign."""
    return "\n    UNION ALL ".join(
        f"SELECT '{metric.name}' AS metric, {metric.dimension.format(row=row)} AS dimension,"
        f" {_bucket(metric, row, quarter)} AS bucket, {sign} AS change{source.format(row=row)}"
        f" WHERE {metric.condition.format(row=row)}"
        for row, sign in signs.items()
        for metric in METRICS_BY_TABLE[table]
    )


def _bucket(metric: Metric, row: str, quarter: str) -> str:
    if not metric.moment:
        return "0"
    bucket = quarter.format(f"{row}.{metric.moment}")
    return f"coalesce({bucket}, {NEVER})" if metric.moment == "expires_at" else bucket


# The new version of a row adds to a figure, the old version subtracts from it.
ROWS = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}


def _events(table: str) -> list[str]:
    return ["INSERT", "DELETE"] if table == "tenants" else ["INSERT", "DELETE", "UPDATE"]


def _sqlite_triggers() -> Iterator[str]:
    """The triggers for SQLite: one per table and kind of change, run for each row."""
    # Without the fraction of a second, which SQLite would round: the first 19 characters end with the second.
    quarter = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    for table in METRICS_BY_TABLE:
        for change in _events(table):
            columns = f" OF {', '.join(UPDATES[table])}" if change == "UPDATE" and table in UPDATES else ""
            yield (
                f"CREATE TRIGGER {table}_statistics_{change.lower()} AFTER {change}{columns} ON {table}\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, ROWS[change])}\n    )"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
            )


def _postgresql_triggers() -> Iterator[str]:
    """The triggers for PostgreSQL: run per statement; per row for tables where most updates change no figure."""
    quarter = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
    for table in METRICS_BY_TABLE:
        for change in _events(table):
            name = f"{table}_statistics_{change.lower()}"
            by_row = change == "UPDATE" and table in UPDATES
            rows = ROWS[change] if by_row else {TRANSITIONS[row]: sign for row, sign in ROWS[change].items()}
            source = "" if by_row else " FROM {row}"
            yield (
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, rows, source)}\n    ) AS moves"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\n    RETURN NULL;\nEND $$"
            )
            if by_row:
                old, new = (", ".join(f"{row}.{column}" for column in UPDATES[table]) for row in ("old", "new"))
                yield (
                    f"CREATE TRIGGER {name} AFTER UPDATE OF {', '.join(UPDATES[table])} ON {table} FOR EACH ROW\n"
                    f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION {name}()"
                )
            else:
                transitions = " ".join(f"{row.upper()} TABLE AS {TRANSITIONS[row]}" for row in ROWS[change])
                yield (
                    f"CREATE TRIGGER {name} AFTER {change} ON {table}\n"
                    f"REFERENCING {transitions} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
                )


def upgrade() -> None:
    """Create the tables and the triggers, and count the existing rows."""
    op.create_table(
        "statistics",
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("grain", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("dimension", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("metric", "grain", "bucket", "dimension", name=op.f("pk_statistics")),
    )
    op.create_table(
        "statistics_changes",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("dimension", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statistics_changes")),
    )
    for columns in OLD_INDEXES:
        op.drop_index(f"ix_platform_events_{'_'.join(columns)}", table_name="platform_events")
    for columns in NEW_INDEXES:
        op.create_index(f"ix_platform_events_{'_'.join(columns)}", "platform_events", columns, unique=False)
    op.create_index("ix_activation_codes_expires_at", "activation_codes", ["expires_at"], unique=False)
    op.create_index(
        "ix_devices_created_at_tenant_id",
        "devices",
        ["created_at", "tenant_id"],
        unique=False,
        postgresql_where=HELD,
        sqlite_where=sa.text("is_revoked = 0"),
    )
    op.create_index(
        "ix_subscriptions_seats_used",
        "subscriptions",
        ["seats_used", "id"],
        unique=False,
        postgresql_where=CURRENT,
        sqlite_where=CURRENT,
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    # The triggers come first: creating them locks the tables until this migration has committed, so that no row is
    # counted twice or missed.
    for definition in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.get_bind().exec_driver_sql(definition)
    _count(QUARTER_SQLITE if is_sqlite else QUARTER_POSTGRESQL)


def _count(quarter: str) -> None:
    for table in METRICS_BY_TABLE:
        op.get_bind().exec_driver_sql(
            "INSERT INTO statistics (metric, grain, bucket, dimension, value)"  # noqa: S608 - names of ours
            " SELECT metric, 1, bucket, dimension, sum(change)"
            f" FROM ({_moves(table, quarter, {table: 1}, ' FROM {row}')}) AS moves GROUP BY metric, bucket, dimension"
        )
    for grain, bucket in ((4, "bucket - bucket % 4"), (96, "bucket - bucket % 96"), (0, "bucket * 0")):
        op.get_bind().exec_driver_sql(
            "INSERT INTO statistics (metric, grain, bucket, dimension, value)"  # noqa: S608 - names of ours
            f" SELECT metric, {grain}, {bucket}, dimension, sum(value)"
            f" FROM statistics WHERE grain = 1 GROUP BY metric, {bucket}, dimension"
        )


def downgrade() -> None:
    """Drop them."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in METRICS_BY_TABLE:
        for change in _events(table):
            name = f"{table}_statistics_{change.lower()}"
            op.execute(f"DROP TRIGGER {name}" if is_sqlite else f"DROP FUNCTION {name}() CASCADE")
    op.drop_index("ix_subscriptions_seats_used", table_name="subscriptions")
    op.drop_index("ix_devices_created_at_tenant_id", table_name="devices")
    op.drop_index("ix_activation_codes_expires_at", table_name="activation_codes")
    for columns in NEW_INDEXES:
        op.drop_index(f"ix_platform_events_{'_'.join(columns)}", table_name="platform_events")
    for columns in OLD_INDEXES:
        op.create_index(f"ix_platform_events_{'_'.join(columns)}", "platform_events", columns, unique=False)
    op.drop_table("statistics_changes")
    op.drop_table("statistics")
