"""The ledger: opening accounts, their caps, what is left behind, and the proof."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)

from sql import granted
from sql.dialect import batch_rows, insert, json_elements
from sql.hidden import hidden_too
from sql.scope import across_tenants
from sql.sums import whole_sum
from sql.tables import (
    ledger_accounts,
    ledger_entries,
    ledger_reservations,
    plans,
    projects,
    subscriptions,
    system_settings,
    usage_rollups,
    worker_heartbeats,
)

_REASON = "an account is named by its id, and one of the installation belongs to no tenant"

_new = batch_rows(
    key=String,
    unit=String,
    level=String,
    tenant_id=BigInteger,
    project_id=String,
    run_id=BigInteger,
    period=String,
    starts_on=Date,
)
# In a fixed order, so that two transactions that open the same accounts wait for each other and do not deadlock.
open_accounts = across_tenants(
    insert(ledger_accounts)
    .from_select(
        list(_new.c.keys()),
        select(_new).where(_new.c.key.is_not(None)).order_by(_new.c.key),
    )
    .on_conflict_do_nothing(index_elements=[ledger_accounts.c.key]),
    _REASON,
)

_keys = batch_rows(key=String)
account_ids = across_tenants(
    select(ledger_accounts.c.key, ledger_accounts.c.id)
    .select_from(_keys)
    .join(ledger_accounts, ledger_accounts.c.key == _keys.c.key),
    _REASON,
)


def _setting(column: ColumnElement[int], default: str) -> ColumnElement[int]:
    """A value of the system's settings, or the parameter ``default`` while nobody has changed them."""
    stored = select(column).where(system_settings.c.id == literal_column("1")).scalar_subquery()
    return func.coalesce(stored, bindparam(default, type_=BigInteger))


_plan_budget = (
    select(plans.c.monthly_llm_budget)
    .select_from(subscriptions)
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(subscriptions.c.tenant_id == ledger_accounts.c.tenant_id, subscriptions.c.ended_at.is_(None))
    .correlate(ledger_accounts)
    .scalar_subquery()
)
_project_budget = (
    select(projects.c.monthly_budget_override)
    .where(projects.c.project_id == ledger_accounts.c.project_id)
    .correlate(ledger_accounts)
    .scalar_subquery()
)

# The cap of an account as it is set at this moment; null where there is none.
_is_money = ledger_accounts.c.unit == literal_column("'money'")


def _is(level: str, period: str) -> ColumnElement[bool]:
    """Literals, because this is a part of every reservation and settlement, and each parameter takes its time."""
    is_level = ledger_accounts.c.level == literal_column(f"'{level}'")
    return and_(_is_money, is_level, ledger_accounts.c.period == literal_column(f"'{period}'"))


cap = case(
    (_is("installation", "month"), _setting(system_settings.c.monthly_budget, "default_monthly_budget")),
    (_is("installation", "day"), _setting(system_settings.c.daily_budget, "default_daily_budget")),
    (_is("tenant", "month"), _plan_budget),
    (_is("project", "month"), _project_budget),
    else_=null(),
)

_chosen = batch_rows(id=BigInteger)


# What each account of a batch has and may have, to explain a refusal and to see whether waiting would help.
account_balances = across_tenants(
    hidden_too(
        select(
            ledger_accounts.c.id,
            ledger_accounts.c.unit,
            ledger_accounts.c.level,
            ledger_accounts.c.tenant_id,
            ledger_accounts.c.project_id,
            ledger_accounts.c.period,
            ledger_accounts.c.starts_on,
            ledger_accounts.c.reserved,
            ledger_accounts.c.settled,
            cap.label("cap"),
        )
        .select_from(_chosen)
        .join(ledger_accounts, ledger_accounts.c.id == _chosen.c.id)
        .order_by(ledger_accounts.c.id),
        "a call that was begun for a tenant before its deletion may still be refused",
    ),
    _REASON,
)

_holder_beats = (
    select(worker_heartbeats.c.executor_id)
    .where(
        worker_heartbeats.c.executor_id == ledger_reservations.c.executor_id,
        worker_heartbeats.c.beat_at >= bindparam("alive_since"),
    )
    .correlate(ledger_reservations)
    .exists()
)
# Reservations whose holder is gone: its deadline has passed, or it was to write heartbeats and does not.
abandoned = (
    select(ledger_reservations.c.id)
    .where(
        ledger_reservations.c.state == "open",
        or_(
            ledger_reservations.c.deadline <= bindparam("now"),
            and_(
                ledger_reservations.c.executor_id.is_not(None),
                ledger_reservations.c.created_at < bindparam("alive_since"),
                ~_holder_beats,
            ),
        ),
    )
    .order_by(ledger_reservations.c.id)
    .limit(bindparam("max_rows"))
)

# The proof: each account against the reservations that name it, and each reservation against its entries.
_ids = json_elements(ledger_reservations.c.accounts)
_by_account = union_all(
    select(ledger_accounts.c.id, ledger_accounts.c.reserved.label("reserved"), ledger_accounts.c.settled),
    select(
        cast(_ids.c.value, BigInteger).label("id"),
        case((ledger_reservations.c.state == "open", -ledger_reservations.c.amount), else_=0).label("reserved"),
        (-func.coalesce(ledger_reservations.c.used, 0)).label("settled"),
    )
    .select_from(ledger_reservations)
    .join(_ids, literal(value=True)),
).subquery("by_account")


def _sum(column: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(whole_sum(column), 0)


accounts_that_differ = across_tenants(
    select(
        _by_account.c.id,
        _sum(_by_account.c.reserved).label("reserved_too_many"),
        _sum(_by_account.c.settled).label("settled_too_many"),
    )
    .group_by(_by_account.c.id)
    .having(or_(whole_sum(_by_account.c.reserved) != 0, whole_sum(_by_account.c.settled) != 0))
    .order_by(_by_account.c.id)
    .limit(bindparam("max_rows")),
    "the proof compares every account",
)

number_of_accounts = across_tenants(
    select(func.count().label("accounts")).select_from(ledger_accounts), "the proof says how many it has compared"
)

_is_open = ledger_reservations.c.state == "open"
reservations_that_differ = (
    select(
        ledger_reservations.c.id,
        _sum(ledger_entries.c.reserved_change).label("reserved"),
        _sum(ledger_entries.c.settled_change).label("settled"),
    )
    .outerjoin(ledger_entries, ledger_entries.c.reservation_id == ledger_reservations.c.id)
    .group_by(ledger_reservations.c.id)
    .having(
        or_(
            _sum(ledger_entries.c.reserved_change) != case((_is_open, ledger_reservations.c.amount), else_=0),
            _sum(ledger_entries.c.settled_change) != func.coalesce(ledger_reservations.c.used, 0),
        )
    )
    .order_by(ledger_reservations.c.id)
    .limit(bindparam("max_rows"))
)

run_account_locked = across_tenants(
    select(ledger_accounts.c.reserved).where(ledger_accounts.c.id == bindparam("account_id")).with_for_update(),
    _REASON,
)

# Read after the account is locked, in a statement of its own: its snapshot is newer than the lock.
run_standing = select(
    select(func.coalesce(whole_sum(usage_rollups.c.quantity), 0))
    .where(
        usage_rollups.c.tenant_id == bindparam("tenant_id"),
        usage_rollups.c.kind == literal("run"),
        usage_rollups.c.day >= bindparam("first_day"),
        usage_rollups.c.day < bindparam("next_day"),
    )
    .scalar_subquery()
    .label("settled"),
    select(granted.runs)
    .select_from(subscriptions)
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
    .scalar_subquery()
    .label("quota"),
)

reserve_run = across_tenants(
    update(ledger_accounts)
    .where(ledger_accounts.c.id == bindparam("of_id"))
    .values(reserved=ledger_accounts.c.reserved + 1),
    _REASON,
)
