"""Figures of the dashboards, which triggers maintain so that no dashboard counts rows: changes, and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String, Table, event

from sql.dialect import installer
from sql.tables.columns import id_column, metadata

# A bucket is a quarter of an hour, numbered from 1970 in UTC. In every time zone in use a day begins with a bucket.
QUARTER_SECONDS = 900
# The bucket of codes that never expire.
NEVER = 2**31 - 1
# The number of buckets that a sum covers: one, an hour, a day in UTC. The sum of everything has the grain TOTAL and the
# bucket 0.
GRAINS = (1, 4, 96)
TOTAL = 0

# Triggers only insert here, in the transaction of the change, so that no transaction waits for another one's figure. A
# schedule folds the rows into the sums. The current figure is the sum of both tables.
statistics_changes = Table(
    "statistics_changes",
    metadata,
    id_column(),
    Column("metric", String(32), nullable=False),
    Column("dimension", String(64), nullable=False),
    Column("bucket", Integer, nullable=False),
    Column("change", BigInteger, nullable=False),
)

statistics = Table(
    "statistics",
    metadata,
    Column("metric", String(32), nullable=False),
    Column("grain", Integer, nullable=False),
    # The first bucket of the sum, a multiple of the grain.
    Column("bucket", Integer, nullable=False),
    Column("dimension", String(64), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("metric", "grain", "bucket", "dimension"),
)


class Metric(NamedTuple):
    """A count of a table's rows: ``moment`` is the column that decides the bucket, ``condition`` selects the rows.

    With ``amount`` it is the sum of that column. ``{row}`` in the SQL stands for the row's table or alias.
    """

    name: str
    moment: str
    condition: str = "1 = 1"
    dimension: str = "''"
    amount: str = "1"


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
        Metric("devices_held", "created_at", "{row}.seat_held"),
        Metric("devices_revoked", "created_at", "{row}.is_revoked"),
    ),
    "subscriptions": (
        Metric("subscriptions_current", "", "{row}.ended_at IS NULL", "{row}.plan_id || ':' || {row}.state"),
    ),
    "tenants": (Metric("tenants_created", "created_at", "{row}.deleted_at IS NULL"),),
    "projects": (
        Metric("projects_created", "created_at"),
        Metric("projects_active", "created_at", "{row}.is_active"),
        Metric("projects_with_code", "created_at", "{row}.activation_code_id IS NOT NULL"),
    ),
    # What was paid and not given back, in the smallest unit of a currency, which is the dimension.
    "invoices": (
        Metric(
            "revenue_invoices",
            "paid_at",
            "{row}.state = 'paid' AND {row}.paid_at IS NOT NULL",
            "{row}.currency",
            "({row}.amount - {row}.amount_refunded)",
        ),
    ),
    "checkouts": (
        Metric(
            "revenue_codes",
            "completed_at",
            "{row}.kind = 'codes' AND {row}.state IN ('paid', 'refunded') AND {row}.completed_at IS NOT NULL",
            "{row}.currency",
            "({row}.amount - {row}.amount_refunded)",
        ),
    ),
    "learned_templates": (
        Metric("templates_created", "created_at"),
        Metric("templates_uses", "", amount="{row}.usage_count"),
        Metric("templates_saved", "", amount="{row}.cost_saved"),
    ),
}
# The columns whose UPDATE fires a trigger. A heartbeat and a change of seats must not pay for a trigger, so their
# columns are not among these.
UPDATES = {
    "devices": ("is_revoked", "seat_held", "created_at"),
    "subscriptions": ("plan_id", "state", "ended_at"),
    "tenants": ("deleted_at",),
    "projects": ("is_active", "activation_code_id"),
    "invoices": ("state", "amount", "amount_refunded", "currency", "paid_at"),
    "checkouts": ("state", "amount", "amount_refunded", "completed_at"),
    "learned_templates": ("usage_count", "cost_saved"),
}
INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"


def _moves(table: str, quarter: str, signs: dict[str, int], source: str = "") -> str:
    """A query for the changes of all the table's metrics by the rows ``signs`` names, each with its sign."""
    return "\n    UNION ALL ".join(
        f"SELECT '{metric.name}' AS metric, {metric.dimension.format(row=row)} AS dimension,"
        f" {_bucket(metric, row, quarter)} AS bucket, {_change(metric, row, sign)} AS change{source.format(row=row)}"
        f" WHERE {metric.condition.format(row=row)}"
        for row, sign in signs.items()
        for metric in METRICS_BY_TABLE[table]
    )


def _change(metric: Metric, row: str, sign: int) -> str:
    return f"{sign}" if metric.amount == "1" else f"{sign} * {metric.amount.format(row=row)}"


def _bucket(metric: Metric, row: str, quarter: str) -> str:
    if not metric.moment:
        return "0"
    bucket = quarter.format(f"{row}.{metric.moment}")
    return f"coalesce({bucket}, {NEVER})" if metric.moment == "expires_at" else bucket


# The new version of a row adds to a figure, the old version subtracts from it.
ROWS = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}


CHANGES = ("INSERT", "DELETE", "UPDATE")


def sqlite_triggers() -> Iterator[str]:
    """The triggers for SQLite: one per table and kind of change, run for each row."""
    # Without the fraction of a second, which SQLite would round: the first 19 characters end with the second.
    quarter = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    for table in METRICS_BY_TABLE:
        for change in CHANGES:
            columns = f" OF {', '.join(UPDATES[table])}" if change == "UPDATE" and table in UPDATES else ""
            yield (
                f"CREATE TRIGGER {table}_statistics_{change.lower()} AFTER {change}{columns} ON {table}\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, ROWS[change])}\n    )"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
            )


def postgresql_triggers() -> Iterator[str]:
    """The triggers for PostgreSQL: run per statement; per row for tables where most updates change no figure."""
    quarter = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
    for table in METRICS_BY_TABLE:
        for change in CHANGES:
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


event.listen(
    metadata, "after_create", installer(sqlite=tuple(sqlite_triggers()), postgresql=tuple(postgresql_triggers()))
)
