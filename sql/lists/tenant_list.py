"""Tenants as operators and they themselves see them: one, or a page of all in any order."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from sql.counting import PAGE_SIZE, SKIP, beside_total, found_ids, kept
from sql.dialect import batch_rows
from sql.scope import across_tenants
from sql.tables import activation_codes, monthly_runs, plans, run_changes, subscriptions, tenants, usage_rollups

_is_current = and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None))
_is_of_month = and_(
    usage_rollups.c.kind == literal("run"),
    usage_rollups.c.day >= bindparam("month"),
    usage_rollups.c.day < bindparam("next_month"),
)
# Whole numbers; PostgreSQL would make them decimals.
_sum_of_days = cast(func.sum(usage_rollups.c.quantity), BigInteger)
_runs = select(_sum_of_days).where(usage_rollups.c.tenant_id == tenants.c.id, _is_of_month).scalar_subquery()

_made = (
    select(func.count())
    .select_from(activation_codes)
    .where(
        activation_codes.c.tenant_id == tenants.c.id,
        activation_codes.c.created_at >= bindparam("first"),
        activation_codes.c.created_at < bindparam("next"),
    )
)

# Everything that is shown of a tenant. What it has used and was given is looked up for each by itself: where months are
# joined the planner guesses how much there is of them, and has read them whole once for each tenant.
_details = (
    tenants.c.id,
    tenants.c.name,
    tenants.c.slug,
    tenants.c.logo_url,
    tenants.c.primary_color,
    tenants.c.domain,
    tenants.c.email,
    tenants.c.phone_number,
    func.coalesce(plans.c.monthly_run_quota, 0).label("usage_quota"),
    func.coalesce(_runs, 0).label("usage_current"),
    _made.scalar_subquery().label("codes_total"),
    _made.where(activation_codes.c.use_count > 0).scalar_subquery().label("codes_used"),
    tenants.c.created_at,
    tenants.c.updated_at,
    plans.c.name.label("plan_name"),
    subscriptions.c.state.label("subscription_state"),
)


def _subscribed(found: Select[Any]) -> Select[Any]:
    """Some tenants, with their current subscription and its plan, if they have one."""
    return found.outerjoin(subscriptions, _is_current).outerjoin(plans, plans.c.id == subscriptions.c.plan_id)


# A page of what a person looks a slug up in, in its order.
tenants_by_slug = (
    select(
        tenants.c.id,
        tenants.c.name,
        tenants.c.slug,
        plans.c.name.label("plan"),
        subscriptions.c.state,
        subscriptions.c.seats_used,
        plans.c.max_devices,
    )
    .select_from(tenants)
    .outerjoin(subscriptions, _is_current)
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenants.c.slug > bindparam("after_slug"))
    .order_by(tenants.c.slug)
    .limit(bindparam("page_size"))
)

_any_tenant = _subscribed(select(*_details).select_from(tenants))

tenant_by_slug = _any_tenant.where(tenants.c.slug == bindparam("tenant_slug"))

tenant_by_id = _any_tenant.where(tenants.c.id == bindparam("tenant_id"))

# ``state`` stands for any one, whose word is a parameter.
StatusFilter = Literal["none", "state"] | None
SortColumn = Literal["name", "slug", "created_at", "updated_at"]
_COLUMNS = ("name", "slug", "updated_at")
_MAX_ROWS = bindparam("max_rows", type_=BigInteger, literal_execute=True)

_chosen = batch_rows(id=BigInteger)


def tenant_page(
    by: SortColumn, is_descending: bool, search: Literal["way"] | None, status: StatusFilter
) -> Select[Any]:
    """A page of tenants beside their total, ordered by a column.

    With ``search``, each is compared on the way along the order, and the total is whatever the search has counted.
    ``status`` is None for all, ``none`` for those without a subscription.
    """
    order = _order(tenants, by, is_descending)
    found = _filtered(select(tenants.c.id).select_from(tenants), search, status).order_by(*order)
    return _shown(found.limit(PAGE_SIZE).offset(SKIP).subquery("page"), search, status).order_by(*order)


def tenants_chosen(by: SortColumn, is_descending: bool) -> Select[Any]:
    """The tenants whose ids the batch brings, beside no total, ordered by a column."""
    found = select(literal(0).label("total"), *_details).select_from(_chosen)
    found = _subscribed(found.join(tenants, tenants.c.id == _chosen.c.id))
    return found.order_by(*_order(tenants, by, is_descending))


def tenant_page_by_usage(
    is_descending: bool, search: Literal["way", "found"] | None, status: StatusFilter, is_opened: bool
) -> Select[Any]:
    """A page of tenants beside their total, ordered by the month's usage; a search may also name those ``found``.

    In an opened month the index has the order of what is folded: from it come the first ``max_rows``, as many as
    the page and all before it. A tenant with changes beside it stands where both together put it. Other months are
    added up.
    """
    runs = _opened_runs(is_descending, search, status) if is_opened else _summed_runs(search, status)
    order = (_directed(runs.c.runs, is_descending), runs.c.created_at.desc(), runs.c.id.desc())
    page = select(runs).order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    shown = (_directed(page.c.runs, is_descending), page.c.created_at.desc(), page.c.id.desc())
    statement = _shown(page, search, status).order_by(*shown)
    return across_tenants(statement, "operators compare what all tenants use")


def _shown(page: Subquery, search: str | None, status: str | None) -> Select[Any]:
    """The tenants of a page beside the total, unless a search has counted it already."""
    total, source = beside_total(literal(0) if search else _total(status), page)
    return _subscribed(select(total, *_details).select_from(source).outerjoin(tenants, tenants.c.id == page.c.id))


def _total(status: str | None) -> ColumnElement[int]:
    """How many tenants there are, or are in a state; each current subscription is counted by its plan and state."""
    if status == "none":
        return kept("tenants_created") - kept("subscriptions_current")
    if status is None:
        return kept("tenants_created")
    return kept("subscriptions_current", literal(":").concat(bindparam("status")))


def _order(of: FromClause, by: str, is_descending: bool) -> tuple[ColumnElement[Any], ...]:
    """By a column, or by age unless it is known; equals stand newest first."""
    column = of.c[by] if by in _COLUMNS else of.c.created_at
    return _directed(column, is_descending), of.c.created_at.desc(), of.c.id.desc()


def _opened_runs(is_descending: bool, search: str | None, status: str | None) -> Subquery:
    moved = (
        select(run_changes.c.tenant_id, cast(func.sum(run_changes.c.runs), BigInteger).label("runs"))
        .where(run_changes.c.month == bindparam("month"))
        .group_by(run_changes.c.tenant_id)
        .cte("moved")
    )
    is_opened = monthly_runs.c.month == bindparam("month")
    age = (monthly_runs.c.tenant_created_at.label("created_at"), monthly_runs.c.tenant_id.label("id"))
    settled = select(monthly_runs.c.runs, *age).where(
        is_opened, monthly_runs.c.tenant_id.not_in(select(moved.c.tenant_id))
    )
    others = (
        select((monthly_runs.c.runs + moved.c.runs).label("runs"), *age)
        .select_from(moved)
        .join(monthly_runs, and_(monthly_runs.c.tenant_id == moved.c.tenant_id, is_opened))
    )
    if search or status:
        settled, others = (
            _filtered(runs.join(tenants, tenants.c.id == monthly_runs.c.tenant_id), search, status)
            for runs in (settled, others)
        )
    order = (
        _directed(monthly_runs.c.runs, is_descending),
        monthly_runs.c.tenant_created_at.desc(),
        monthly_runs.c.tenant_id.desc(),
    )
    first = settled.order_by(*order).limit(_MAX_ROWS).subquery("first")
    return union_all(select(first), others).subquery("runs")


def _summed_runs(search: str | None, status: str | None) -> Subquery:
    summed = (
        select(usage_rollups.c.tenant_id, _sum_of_days.label("runs"))
        .where(_is_of_month)
        .group_by(usage_rollups.c.tenant_id)
        .subquery("summed")
    )
    found = (
        select(func.coalesce(summed.c.runs, 0).label("runs"), tenants.c.created_at, tenants.c.id)
        .select_from(tenants)
        .outerjoin(summed, summed.c.tenant_id == tenants.c.id)
    )
    return _filtered(found, search, status).subquery("runs")


def _directed(key: ColumnElement[Any], is_descending: bool) -> ColumnElement[Any]:
    return key.desc() if is_descending else key.asc()


def tenants_named(
    status: StatusFilter, is_short: bool, words: int, by: SortColumn | None = None, is_descending: bool = True
) -> Select[Any]:
    """The tenants that a search finds, as ``found_ids``: a page of them ordered ``by`` a column, or else all of them.

    So many ``words`` of the search are conditions of their own. What is too short for a trigram would be looked for in
    all of the index, and is looked for in the rows. Whoever has the whole text has each word too, and the planner asks
    the index for those alone that few have: a word that everybody has would cost most of the time.
    """
    compared = [tenants.c[name] for name in ("id", "created_at", *_COLUMNS)] if by else [tenants.c.id]
    found = _in_state(select(*compared).select_from(tenants), status)
    found = found.where(_is_named(behind=literal_column("''")) if is_short else _is_named())
    found = found.where(*(_is_named(f"word_{number}") for number in range(words)))
    return found_ids(found, (lambda of: _order(of, by, is_descending)) if by else None)


def _filtered(found: Select[Any], search: str | None, status: str | None) -> Select[Any]:
    """Those of some tenants that a search and a status find; whom a search has named is in that state already."""
    if search == "found":
        return found.join(_chosen, _chosen.c.id == tenants.c.id)
    return _in_state(found.where(_is_named()) if search else found, status)


def _in_state(found: Select[Any], status: str | None) -> Select[Any]:
    if status is None:
        return found
    state = tenants.c.subscription_state
    return found.where(state.is_(None) if status == "none" else state == bindparam("status"))


def _is_named(parameter: str = "pattern", behind: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """Whether name or slug is like the parameter; with something behind them no index is asked."""
    pattern = func.lower(bindparam(parameter))
    texts = [func.lower(column) for column in (tenants.c.name, tenants.c.slug)]
    return or_(*((text if behind is None else text.concat(behind)).like(pattern, escape="\\") for text in texts))
