"""Runs per tenant and month: folding changes into them, opening months, and comparing them with the daily sums."""

from __future__ import annotations

from sqlalchemy import BigInteger, Date, and_, bindparam, delete, literal, select, union_all

from sql.dialect import batch_rows, insert
from sql.hidden import hidden_too, tenant_is_shown
from sql.scope import across_tenants
from sql.sums import added, whole_sum
from sql.tables import monthly_runs, opened_months, run_changes, tenants, usage_rollups

# SKIP LOCKED: two folds at the same time take different changes. Neither waits for the deletion of a tenant, which
# itself waits for the fold. As a common table expression, because a subquery that skips what is locked may be run
# again, and then it finds others and takes more than so many.
_oldest = (
    select(run_changes.c.id)
    .where(run_changes.c.id > bindparam("after"))
    .order_by(run_changes.c.id)
    .limit(bindparam("max_rows"))
    .with_for_update(skip_locked=True)
    .cte("oldest")
)
take_run_changes = across_tenants(
    hidden_too(
        delete(run_changes)
        .where(run_changes.c.id.in_(select(_oldest.c.id)))
        .returning(run_changes.c.id, run_changes.c.tenant_id, run_changes.c.month, run_changes.c.runs),
        "the changes of a hidden tenant are taken and added to nothing",
    ),
    "the oldest changes of all tenants are folded first",
)

_sums = batch_rows(tenant_id=BigInteger, month=Date, runs=BigInteger)
_fold = insert(monthly_runs)

# Waits for the transaction that hides a tenant, and then leaves the tenant out.
add_to_months = _fold.from_select(
    ["tenant_id", "month", "runs", "tenant_created_at"],
    select(_sums.c.tenant_id, _sums.c.month, _sums.c.runs, tenants.c.created_at)
    .select_from(_sums)
    .join(tenants, tenants.c.id == _sums.c.tenant_id)
    .where(tenant_is_shown)
    .order_by(_sums.c.tenant_id, _sums.c.month)
    .with_for_update(read=True, key_share=True, of=tenants),
).on_conflict_do_update(
    index_elements=[monthly_runs.c.tenant_id, monthly_runs.c.month],
    set_={"runs": added(monthly_runs.c.runs, _fold.excluded.runs)},
)

opened_month = select(opened_months.c.month).where(opened_months.c.month == bindparam("month"))

open_month = insert(opened_months).on_conflict_do_nothing(index_elements=[opened_months.c.month])

close_months = delete(opened_months).where(opened_months.c.month < bindparam("first_month"))

# Lists are no longer ordered by a closed month; the daily sums stay.
delete_closed_runs = across_tenants(
    hidden_too(
        delete(monthly_runs).where(monthly_runs.c.month < bindparam("first_month")),
        "it removes what a deletion would remove later",
    ),
    "a month is closed for all tenants together",
)

fill_month = across_tenants(
    insert(monthly_runs)
    .from_select(
        ["tenant_id", "month", "runs", "tenant_created_at"],
        select(tenants.c.id, opened_months.c.month, literal(0), tenants.c.created_at)
        .select_from(tenants)
        .join(opened_months, opened_months.c.month == bindparam("of_month"))
        .where(tenant_is_shown),
    )
    .on_conflict_do_nothing(index_elements=[monthly_runs.c.tenant_id, monthly_runs.c.month]),
    "in an opened month every tenant has a row",
)


_months_minus_days = union_all(
    select(monthly_runs.c.tenant_id, monthly_runs.c.runs).where(monthly_runs.c.month == bindparam("month")),
    select(run_changes.c.tenant_id, run_changes.c.runs).where(run_changes.c.month == bindparam("month")),
    select(usage_rollups.c.tenant_id, -usage_rollups.c.quantity).where(
        usage_rollups.c.kind == literal("run"),
        usage_rollups.c.day >= bindparam("month"),
        usage_rollups.c.day < bindparam("next_month"),
    ),
).subquery("months_minus_days")

# One statement reads one snapshot, so concurrent writes cause no false difference.
months_that_differ = across_tenants(
    select(_months_minus_days.c.tenant_id, whole_sum(_months_minus_days.c.runs).label("too_many"))
    # Changes left by a deleted tenant are not folded, and no list shows them; of one that is being deleted the days go
    # before the months.
    .join(tenants, and_(tenants.c.id == _months_minus_days.c.tenant_id, tenant_is_shown))
    .group_by(_months_minus_days.c.tenant_id)
    .having(whole_sum(_months_minus_days.c.runs) != 0)
    .order_by(_months_minus_days.c.tenant_id)
    .limit(bindparam("max_rows")),
    "the nightly check compares every tenant's month with its days",
)
