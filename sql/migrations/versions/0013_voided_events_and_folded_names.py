"""Usage events that are voided, and whether a plan lets its tenants void them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

VOIDED = sa.text("voided_at IS NOT NULL")

# An event that is voided leaves its sums, and one that is no longer voided comes back to them.
VOID_SQLITE = """
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

VOID_FUNCTION_POSTGRESQL = """
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

VOID_POSTGRESQL = """
CREATE TRIGGER usage_events_void AFTER UPDATE ON usage_events
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION usage_events_void()
"""


def upgrade() -> None:
    """Add the columns and the trigger."""
    _add_voiding()


def _add_voiding() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("plans", sa.Column("tenant_may_void", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("usage_events", sa.Column("voided_at", Instant(), nullable=True))
    op.add_column("usage_events", sa.Column("voided_by", sa.String(length=255), nullable=True))
    op.create_index(
        "ix_usage_events_voided",
        "usage_events",
        ["tenant_id", "event_id"],
        postgresql_where=VOIDED,
        sqlite_where=VOIDED,
    )
    for statement in (VOID_SQLITE,) if is_sqlite else (VOID_FUNCTION_POSTGRESQL, VOID_POSTGRESQL):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them; sums without voided events stay as they are, and the proof of the sums would tell of them."""
    _drop_voiding()


def _drop_voiding() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER usage_events_void" if is_sqlite else "DROP TRIGGER usage_events_void ON usage_events")
    if not is_sqlite:
        op.execute("DROP FUNCTION usage_events_void()")
    op.drop_index("ix_usage_events_voided", table_name="usage_events")
    for column in ("voided_by", "voided_at"):
        op.drop_column("usage_events", column)
    op.drop_column("plans", "tenant_may_void")
