"""The figures that the database keeps: how many rows there are, and the months in which every tenant has its row."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, literal, select

from sql.dialect import insert
from sql.scope import across_tenants
from sql.tables import monthly_runs, opened_months, row_count_changes, row_counts, tenants

_folded = select(row_counts.c.total).where(row_counts.c.name == bindparam("name")).scalar_subquery()
_since = (
    select(func.sum(row_count_changes.c.delta)).where(row_count_changes.c.name == bindparam("name")).scalar_subquery()
)

# In one statement, so that a change is counted on one side of the fold.
row_total = select((func.coalesce(_folded, 0) + func.coalesce(_since, 0)).label("total"))

take_changes = delete(row_count_changes).returning(row_count_changes.c.name, row_count_changes.c.delta)

_total = insert(row_counts)

add_to_total = _total.on_conflict_do_update(
    index_elements=[row_counts.c.name], set_={"total": row_counts.c.total + _total.excluded.total}
)

opened_month = select(opened_months.c.month).where(opened_months.c.month == bindparam("month"))

open_month = insert(opened_months).on_conflict_do_nothing(index_elements=[opened_months.c.month])

close_months = delete(opened_months).where(opened_months.c.month < bindparam("first_month"))

fill_month = across_tenants(
    insert(monthly_runs)
    .from_select(
        ["tenant_id", "month", "runs", "tenant_created_at"],
        select(tenants.c.id, opened_months.c.month, literal(0), tenants.c.created_at)
        .select_from(tenants)
        .join(opened_months, opened_months.c.month == bindparam("of_month")),
    )
    .on_conflict_do_nothing(index_elements=[monthly_runs.c.tenant_id, monthly_runs.c.month]),
    "in an opened month every tenant has a row",
)
