"""Accounts of the ledger with what each may use and has used: pages of those that count now, and those of runs."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Date,
    Select,
    String,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)

from sql import granted
from sql.counting import PAGE_SIZE
from sql.dialect import batch_rows
from sql.hidden import is_shown
from sql.moments import month_after
from sql.scope import across_tenants
from sql.statements.ledger import cap
from sql.sums import whole_sum
from sql.tables import ledger_accounts, plans, projects, subscriptions, tenants, usage_rollups


class AccountFilter(NamedTuple):
    """The conditions of a page of accounts; each one compares with the parameter of the same name."""

    unit: bool = False
    level: bool = False
    period: bool = False
    project_id: bool = False


_counts_runs = ledger_accounts.c.unit == literal_column("'runs'")
_run_quota = (
    select(granted.runs)
    .select_from(subscriptions)
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(subscriptions.c.tenant_id == ledger_accounts.c.tenant_id, subscriptions.c.ended_at.is_(None))
    .correlate(ledger_accounts)
    .scalar_subquery()
)
# That of a project which another tenant has made under the same id counts nothing here.
_project_budget = (
    select(projects.c.monthly_budget_override)
    .where(
        projects.c.project_id == ledger_accounts.c.project_id,
        projects.c.tenant_id.is_not_distinct_from(ledger_accounts.c.tenant_id),
    )
    .correlate(ledger_accounts)
    .scalar_subquery()
)
_is_of_project = ledger_accounts.c.level == literal_column("'project'")
# Usage has sums of its own of what has run; the account holds only what is reserved.
_counted_runs = (
    select(func.coalesce(whole_sum(usage_rollups.c.quantity), 0))
    .where(
        usage_rollups.c.tenant_id == ledger_accounts.c.tenant_id,
        usage_rollups.c.kind == literal_column("'run'"),
        usage_rollups.c.day >= ledger_accounts.c.starts_on,
        usage_rollups.c.day < month_after(ledger_accounts.c.starts_on),
    )
    .correlate(ledger_accounts)
    .scalar_subquery()
)


_columns = ledger_accounts.c
_standing = (
    _columns.id,
    _columns.unit,
    _columns.level,
    _columns.tenant_id,
    tenants.c.slug.label("tenant_slug"),
    _columns.project_id,
    _columns.period,
    _columns.starts_on,
    _columns.reserved,
)
_with_tenant = ledger_accounts.outerjoin(tenants, tenants.c.id == _columns.tenant_id)


def account_page(filters: AccountFilter, is_of_tenant: bool) -> Select[Any]:
    """A page of the accounts of one tenant or of all behind a day and an id, in the order of their first days."""
    conditions = {
        "unit": _columns.unit == bindparam("unit"),
        "level": _columns.level == bindparam("level"),
        "period": _columns.period == bindparam("period"),
        "project_id": _columns.project_id == bindparam("project_id"),
    }
    statement = (
        select(
            *_standing,
            case((_counts_runs, _counted_runs), else_=_columns.settled).label("settled"),
            case((_counts_runs, _run_quota), (_is_of_project, _project_budget), else_=cap).label("cap"),
        )
        .select_from(_with_tenant)
        .where(
            # A month's accounts begin on its first day; of each day of the month there are a few.
            _columns.starts_on >= bindparam("first_day", type_=Date),
            or_(_columns.period == "month", _columns.starts_on == bindparam("today", type_=Date)),
            tuple_(_columns.starts_on, _columns.id)
            > tuple_(bindparam("after_day", type_=Date), bindparam("after_id", type_=BigInteger)),
            is_shown(ledger_accounts),
            *(conditions[name] for name, is_set in filters._asdict().items() if is_set),
        )
        .order_by(_columns.starts_on, _columns.id)
        .limit(PAGE_SIZE)
    )
    if is_of_tenant:
        statement = statement.where(_columns.tenant_id == bindparam("tenant_id"))
        return across_tenants(statement, "the account is the tenant's, and its project is compared with the account")
    return across_tenants(statement, "operators see the accounts of all tenants, and those of the installation")


_keys = batch_rows(key=String)
accounts_by_key = across_tenants(
    select(_columns.key, *_standing, _columns.settled, null().cast(BigInteger).label("cap"))
    .select_from(_keys)
    .join(_with_tenant, _columns.key == _keys.c.key)
    .where(is_shown(ledger_accounts)),
    "the keys are those of runs that the caller was shown",
)
