"""Seats: which devices hold one, who may revoke them, and when a refresh token was replaced."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"
# The figures of devices, which of them each counts, and the columns that change them: before, and from now on.
Figures = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]
_CREATED = ("devices_created", "1 = 1")
OLD: Figures = ((_CREATED, ("devices_held", "NOT {row}.is_revoked")), ("is_revoked", "created_at"))
NEW: Figures = (
    (_CREATED, ("devices_held", "{row}.seat_held"), ("devices_revoked", "{row}.is_revoked")),
    ("is_revoked", "seat_held", "created_at"),
)
QUARTER_SQLITE = "CAST(strftime('%s', substr({}, 1, 19)) AS INTEGER) / 900"
QUARTER_POSTGRESQL = "CAST(floor(extract(epoch FROM {}) / 900) AS INTEGER)"
CHANGES = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}


def _moves(figures: Figures, quarter: str, signs: dict[str, int], source: str = "") -> str:
    return "\n    UNION ALL ".join(
        f"SELECT '{metric}' AS metric, '' AS dimension, {quarter.format(f'{row}.created_at')} AS bucket,"
        f" {sign} AS change{source.format(row=row)} WHERE {counts.format(row=row)}"
        for row, sign in signs.items()
        for metric, counts in figures[0]
    )


def _sqlite_triggers(figures: Figures) -> Iterator[str]:
    for change, signs in CHANGES.items():
        columns = f" OF {', '.join(figures[1])}" if change == "UPDATE" else ""
        yield f"DROP TRIGGER devices_statistics_{change.lower()}"
        yield (
            f"CREATE TRIGGER devices_statistics_{change.lower()} AFTER {change}{columns} ON devices\nBEGIN\n"  # noqa: S608 - names of ours
            f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
            f"    {_moves(figures, QUARTER_SQLITE, signs)}\n    )"
            " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
        )


def _postgresql_triggers(figures: Figures) -> Iterator[str]:
    for change, signs in CHANGES.items():
        name = f"devices_statistics_{change.lower()}"
        by_row = change == "UPDATE"
        rows = signs if by_row else {TRANSITIONS[row]: sign for row, sign in signs.items()}
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"  # noqa: S608 - names of ours
            f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
            f"    {_moves(figures, QUARTER_POSTGRESQL, rows, '' if by_row else ' FROM {row}')}\n    ) AS moves"
            " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\n    RETURN NULL;\nEND $$"
        )
    old, new = (", ".join(f"{row}.{name}" for name in figures[1]) for row in ("old", "new"))
    yield "DROP TRIGGER devices_statistics_update ON devices"
    yield (
        f"CREATE TRIGGER devices_statistics_update AFTER UPDATE OF {', '.join(figures[1])} ON devices FOR EACH ROW\n"
        f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION devices_statistics_update()"
    )


def _count_by(figures: Figures) -> None:
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    for definition in _sqlite_triggers(figures) if is_sqlite else _postgresql_triggers(figures):
        connection.exec_driver_sql(definition)


def upgrade() -> None:
    """Add the columns; a device that is not revoked holds a seat."""
    op.add_column("devices", sa.Column("seat_held", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("devices", sa.Column("released_at", Instant(), nullable=True))
    op.execute("UPDATE devices SET seat_held = NOT is_revoked WHERE is_revoked")
    op.add_column("plans", sa.Column("device_idle_days", sa.Integer(), nullable=True))
    op.add_column("plans", sa.Column("tenant_may_revoke", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("refresh_families", sa.Column("rotated_at", Instant(), nullable=True))
    _count_by(NEW)
    connection = op.get_bind()
    quarter = QUARTER_SQLITE if connection.dialect.name == "sqlite" else QUARTER_POSTGRESQL
    bucket = quarter.format("created_at")
    connection.exec_driver_sql(
        f"{INSERT} SELECT 'devices_revoked', '', {bucket}, count(*) FROM devices WHERE is_revoked GROUP BY {bucket}"  # noqa: S608 - names of ours
    )


def downgrade() -> None:
    """Drop them; a device whose seat was released can only be revoked then."""
    op.execute("UPDATE devices SET is_revoked = NOT seat_held WHERE NOT seat_held AND NOT is_revoked")
    _count_by(OLD)
    op.execute("DELETE FROM statistics_changes WHERE metric = 'devices_revoked'")
    op.execute("DELETE FROM statistics WHERE metric = 'devices_revoked'")
    op.drop_column("refresh_families", "rotated_at")
    op.drop_column("plans", "tenant_may_revoke")
    op.drop_column("plans", "device_idle_days")
    op.drop_column("devices", "released_at")
    op.drop_column("devices", "seat_held")
