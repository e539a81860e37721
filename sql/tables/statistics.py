"""Figures that the database itself keeps, so that no dashboard counts rows: changes as they happen, and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String, Table, event

from sql.dialect import installer
from sql.tables.columns import id_column, metadata

# A bucket is a quarter of an hour, numbered from 1970 in UTC: days of every zone in use begin with one.
QUARTER_SECONDS = 900
# The bucket of what never expires.
NEVER = 2**31 - 1
# How many quarters a sum covers: one, an hour, a day in UTC, and 0 for everything, whose bucket is 0.
GRAINS = (1, 4, 96)
TOTAL = 0

# Only ever inserted into, by triggers in the transaction of the change, so that no transaction waits for another's
# figure; folded into the sums by a schedule. What is true is the sum of both.
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
    # Where the sums begin: with a multiple of the grain.
    Column("bucket", Integer, nullable=False),
    Column("dimension", String(64), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("metric", "grain", "bucket", "dimension"),
)


class Counted(NamedTuple):
    """A figure of a table's rows: which of them count, and in which bucket; ``{row}`` is where a row is found."""

    metric: str
    moment: str
    condition: str = "1 = 1"
    dimension: str = "''"


COUNTED = {
    "activation_codes": (
        Counted("codes_created", "created_at"),
        Counted("codes_used", "used_at", "{row}.used_at IS NOT NULL"),
        Counted("codes_revoked", "revoked_at", "{row}.revoked_at IS NOT NULL"),
        Counted("codes_expiring", "expires_at", "{row}.expires_at IS NOT NULL"),
        # By expiry, so that those that have expired meanwhile can be told.
        Counted("codes_held", "expires_at", "{row}.revoked_at IS NULL"),
        Counted("codes_open", "expires_at", "{row}.revoked_at IS NULL AND {row}.use_count < {row}.max_uses"),
    ),
    "devices": (
        Counted("devices_created", "created_at"),
        Counted("devices_held", "created_at", "NOT {row}.is_revoked"),
    ),
    "subscriptions": (
        Counted("subscriptions_current", "", "{row}.ended_at IS NULL", "{row}.plan_id || ':' || {row}.state"),
    ),
    "tenants": (Counted("tenants_created", "created_at"),),
}
# Changes that move a figure. A device's heartbeat and a subscription's seats are none; a statement that has to look at
# each changed row would make those pay.
MOVING = {
    "devices": ("is_revoked", "created_at"),
    "subscriptions": ("plan_id", "state", "ended_at"),
}
INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"


def _moves(table: str, quarter: str, signs: dict[str, int], source: str = "") -> str:
    """What the rows at these places count, taken with a sign."""
    return "\n    UNION ALL ".join(
        f"SELECT '{counted.metric}' AS metric, {counted.dimension.format(row=row)} AS dimension,"
        f" {_bucket(counted, row, quarter)} AS bucket, {sign} AS change{source.format(row=row)}"
        f" WHERE {counted.condition.format(row=row)}"
        for row, sign in signs.items()
        for counted in COUNTED[table]
    )


def _bucket(counted: Counted, row: str, quarter: str) -> str:
    if not counted.moment:
        return "0"
    found = quarter.format(f"{row}.{counted.moment}")
    return f"coalesce({found}, {NEVER})" if counted.moment == "expires_at" else found


# What a row that is there now adds, and what one that was there before takes away.
ROWS = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}


def _events(table: str) -> list[str]:
    return ["INSERT", "DELETE"] if table == "tenants" else ["INSERT", "DELETE", "UPDATE"]


def sqlite_triggers() -> Iterator[str]:
    """A trigger for each row that comes, goes or changes."""
    # The first 19 characters end with the second: what is below it would be rounded up.
    quarter = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    for table in COUNTED:
        for change in _events(table):
            columns = f" OF {', '.join(MOVING[table])}" if change == "UPDATE" and table in MOVING else ""
            yield (
                f"CREATE TRIGGER {table}_statistics_{change.lower()} AFTER {change}{columns} ON {table}\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, ROWS[change])}\n    )"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
            )


def postgresql_triggers() -> Iterator[str]:
    """A trigger for each statement, and for each row whose change moves a figure where most changes do not."""
    quarter = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
    for table in COUNTED:
        for change in _events(table):
            name = f"{table}_statistics_{change.lower()}"
            by_row = change == "UPDATE" and table in MOVING
            rows = ROWS[change] if by_row else {TRANSITIONS[row]: sign for row, sign in ROWS[change].items()}
            source = "" if by_row else " FROM {row}"
            yield (
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, rows, source)}\n    ) AS moves"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\n    RETURN NULL;\nEND $$"
            )
            if by_row:
                old, new = (", ".join(f"{row}.{column}" for column in MOVING[table]) for row in ("old", "new"))
                yield (
                    f"CREATE TRIGGER {name} AFTER UPDATE OF {', '.join(MOVING[table])} ON {table} FOR EACH ROW\n"
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
