"""Days of usage that hold no more than their sums can, and sums that stood above it."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MAX_DAY_QUANTITY = 10**17
TRIGGERS = ("usage_events_rollup", "usage_events_void")

_days = sa.table(
    "usage_rollups",
    *(sa.column(name, kind) for name, kind in (("tenant_id", sa.BigInteger()), ("day", sa.Date()))),
    *(sa.column(name, kind) for name, kind in (("kind", sa.String()), ("quantity", sa.BigInteger()))),
)
_months = sa.table(
    "monthly_runs",
    *(sa.column(name, kind) for name, kind in (("tenant_id", sa.BigInteger()), ("month", sa.Date()))),
    sa.column("runs", sa.BigInteger()),
)
_changes = sa.table("run_changes", sa.column("tenant_id", sa.BigInteger()))


def _month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _lower() -> None:
    """Set days that stand above the bound to it, and the months of their tenants to the sum of their days."""
    connection = op.get_bind()
    is_above = _days.c.quantity > MAX_DAY_QUANTITY
    tenants = connection.scalars(sa.select(_days.c.tenant_id).where(is_above).distinct()).all()
    connection.execute(sa.update(_days).where(is_above).values(quantity=MAX_DAY_QUANTITY))
    for tenant_id in tenants:
        connection.execute(sa.delete(_changes).where(_changes.c.tenant_id == tenant_id))
        of_tenant = _months.c.tenant_id == tenant_id
        for month in connection.scalars(sa.select(_months.c.month).where(of_tenant)).all():
            days = connection.scalars(
                sa.select(_days.c.quantity).where(
                    _days.c.tenant_id == tenant_id,
                    _days.c.kind == "run",
                    _days.c.day >= month,
                    _days.c.day < _month_after(month),
                )
            )
            changed = sa.update(_months).where(of_tenant, _months.c.month == month)
            connection.execute(changed.values(runs=sum(days.all())))


def _bound(*, is_bounded: bool) -> None:
    """Bound the days or not; SQLite writes the table anew for that, and knows no trigger meanwhile that names it."""
    connection = op.get_bind()
    name = op.f("ck_usage_rollups_quantity")
    triggers = []
    if connection.dialect.name == "sqlite":
        for trigger in TRIGGERS:
            found = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
            triggers.append(connection.execute(found, {"name": trigger}).scalar_one())
            op.execute(f"DROP TRIGGER {trigger}")
    with op.batch_alter_table("usage_rollups") as rollups:
        if is_bounded:
            rollups.create_check_constraint(name, f"quantity <= {MAX_DAY_QUANTITY}")
        else:
            rollups.drop_constraint(name, type_="check")
    for trigger in triggers:
        connection.exec_driver_sql(trigger)


def upgrade() -> None:
    """Bound the days."""
    _lower()
    _bound(is_bounded=True)


def downgrade() -> None:
    """Bound them no more."""
    _bound(is_bounded=False)
