"""Tenants with all their details: one by slug or id, or a page in any order."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from sql import granted
from sql.counting import PAGE_SIZE, SKIP, ids_with_total, page_with_total, total_of
from sql.dialect import batch_rows
from sql.hidden import is_shown, tenant_is_shown
from sql.matching import is_behind_age
from sql.scope import across_tenants
from sql.sums import added, whole_sum
from sql.tables import activation_codes, monthly_runs, plans, run_changes, subscriptions, tenants, usage_rollups

_is_current = and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None))
_is_of_month = and_(
    usage_rollups.c.kind == literal("run"),
    usage_rollups.c.day >= bindparam("month"),
    usage_rollups.c.day < bindparam("next_month"),
)
_sum_of_days = whole_sum(usage_rollups.c.quantity)
_runs = select(_sum_of_days).where(usage_rollups.c.tenant_id == tenants.c.id, _is_of_month).scalar_subquery()

_codes_of_month = (
    select(func.count())
    .select_from(activation_codes)
    .where(
        activation_codes.c.tenant_id == tenants.c.id,
        activation_codes.c.created_at >= bindparam("first"),
        activation_codes.c.created_at < bindparam("next"),
    )
)

# All details of a tenant. Its usage and its codes of the month are subqueries, not joins: in a join the planner has to
# guess the number of rows of a month, and has been seen to read the whole month once for each tenant.
_details = (
    tenants.c.id,
    tenants.c.name,
    tenants.c.slug,
    tenants.c.logo_url,
    tenants.c.primary_color,
    tenants.c.domain,
    tenants.c.email,
    tenants.c.phone_number,
    tenants.c.otp_delivery_method,
    func.coalesce(granted.runs, 0).label("usage_quota"),
    func.coalesce(_runs, 0).label("usage_current"),
    _codes_of_month.scalar_subquery().label("codes_total"),
    _codes_of_month.where(activation_codes.c.use_count > 0).scalar_subquery().label("codes_used"),
    tenants.c.created_at,
    tenants.c.updated_at,
    plans.c.name.label("plan_name"),
    subscriptions.c.state.label("subscription_state"),
    granted.runs.label("monthly_run_quota"),
    subscriptions.c.monthly_run_quota_override,
    plans.c.monthly_run_quota.label("plan_monthly_run_quota"),
    granted.devices.label("max_devices"),
    subscriptions.c.max_devices_override,
    plans.c.max_devices.label("plan_max_devices"),
)


def _with_subscription(rows: Select[Any]) -> Select[Any]:
    """The tenants joined to their current subscription and its plan, if they have one."""
    return rows.outerjoin(subscriptions, _is_current).outerjoin(plans, plans.c.id == subscriptions.c.plan_id)


# A page of the command line's list of tenants, ordered by slug.
tenants_by_slug = (
    select(
        tenants.c.id,
        tenants.c.name,
        tenants.c.slug,
        plans.c.name.label("plan"),
        subscriptions.c.state,
        subscriptions.c.seats_used,
        granted.devices.label("max_devices"),
        subscriptions.c.max_devices_override,
        plans.c.max_devices.label("plan_max_devices"),
        granted.runs.label("monthly_run_quota"),
        subscriptions.c.monthly_run_quota_override,
        plans.c.monthly_run_quota.label("plan_monthly_run_quota"),
    )
    .select_from(tenants)
    .outerjoin(subscriptions, _is_current)
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenants.c.slug > bindparam("after_slug"), tenant_is_shown)
    .order_by(tenants.c.slug)
    .limit(bindparam("page_size"))
)

_any_tenant = _with_subscription(select(*_details).select_from(tenants))

_slugs = batch_rows(slug=String)
# Many tenants by their slugs.
tenants_of_slugs = _with_subscription(
    select(*_details).select_from(_slugs).join(tenants, tenants.c.slug == _slugs.c.slug)
)

tenant_by_slug = _any_tenant.where(tenants.c.slug == bindparam("tenant_slug"))

tenant_by_id = _any_tenant.where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown)

# ``state`` stands for any one, whose word is a parameter.
StatusFilter = Literal["none", "state"] | None
SortColumn = Literal["name", "slug", "created_at", "updated_at"]
_KEYS = {"name": "folded_name", "slug": "slug", "updated_at": "updated_at"}
_MAX_ROWS = bindparam("max_rows", type_=BigInteger, literal_execute=True)

_page_ids = batch_rows(id=BigInteger)


def tenant_page(
    by: SortColumn,
    is_descending: bool,
    search: Literal["way"] | None,
    status: StatusFilter,
    is_after_cursor: bool = False,
) -> Select[Any]:
    """A page of tenants with their total, ordered by the column ``by``.

    With ``search``, each tenant is compared while the page is read, and the total is 0, because the caller has counted
    already. ``status`` is None for all tenants and ``none`` for those without a subscription; with ``state`` the
    statement compares the state with the parameter ``status``. A cursor is one of the list by age, newest first.
    """
    order = _order(tenants, by, is_descending)
    rows = _filtered(select(tenants.c.id).select_from(tenants), search, status).order_by(*order)
    if is_after_cursor:
        rows = rows.where(is_behind_age(tenants))
    return _page(rows.limit(PAGE_SIZE).offset(SKIP).subquery("page"), search, status).order_by(*order)


def tenants_by_ids(by: SortColumn, is_descending: bool) -> Select[Any]:
    """The tenants whose ids are in the batch, with a total of 0, ordered by a column."""
    rows = select(literal(0).label("total"), *_details).select_from(_page_ids)
    rows = _with_subscription(rows.join(tenants, and_(tenants.c.id == _page_ids.c.id, tenant_is_shown)))
    return rows.order_by(*_order(tenants, by, is_descending))


def tenant_page_by_usage(
    is_descending: bool, search: Literal["way", "found"] | None, status: StatusFilter, is_opened: bool
) -> Select[Any]:
    """A page of tenants with their total, ordered by the runs of a month.

    In an opened month an index has the order of the folded runs; from it come the first ``max_rows`` tenants, as many
    as the page and all pages before it need. Tenants with changes that are not folded yet are added to these and sorted
    by the sum of both. For any other month the daily sums are added up. ``search`` is as for ``tenant_page``, or
    ``found``: then the batch holds the ids of the tenants that the search has returned.
    """
    runs = _opened_runs(is_descending, search, status) if is_opened else _summed_runs(search, status)
    order = (_directed(runs.c.runs, is_descending), runs.c.created_at.desc(), runs.c.id.desc())
    page = select(runs).order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    page_order = (_directed(page.c.runs, is_descending), page.c.created_at.desc(), page.c.id.desc())
    statement = _page(page, search, status).order_by(*page_order)
    return across_tenants(statement, "operators compare what all tenants use")


def _page(ids: Subquery, search: str | None, status: str | None) -> Select[Any]:
    """The details of the tenants with these ids, and the total; the total is 0 where a search has counted already."""
    total, source = page_with_total(literal(0) if search else _total(status), ids)
    return _with_subscription(select(total, *_details).select_from(source).outerjoin(tenants, tenants.c.id == ids.c.id))


def _total(status: str | None) -> ColumnElement[int]:
    """The number of all tenants, or of those in a state: the stored figure has a dimension ``plan:state``."""
    if status == "none":
        return total_of("tenants_created") - total_of("subscriptions_current")
    if status is None:
        return total_of("tenants_created")
    return total_of("subscriptions_current", literal(":").concat(bindparam("status")))


def _order(rows: FromClause, by: str, is_descending: bool) -> tuple[ColumnElement[Any], ...]:
    """The order by a column, or by age for any other word; among equals the newest tenant comes first."""
    column = rows.c[_KEYS.get(by, "created_at")]
    return _directed(column, is_descending), rows.c.created_at.desc(), rows.c.id.desc()


def _opened_runs(is_descending: bool, search: str | None, status: str | None) -> Subquery:
    changes = (
        select(run_changes.c.tenant_id, whole_sum(run_changes.c.runs).label("runs"))
        .where(run_changes.c.month == bindparam("month"))
        .group_by(run_changes.c.tenant_id)
        .cte("changes")
    )
    is_opened = and_(monthly_runs.c.month == bindparam("month"), is_shown(monthly_runs))
    age = (monthly_runs.c.tenant_created_at.label("created_at"), monthly_runs.c.tenant_id.label("id"))
    unchanged = select(monthly_runs.c.runs, *age).where(
        is_opened, monthly_runs.c.tenant_id.not_in(select(changes.c.tenant_id))
    )
    changed = (
        select(added(monthly_runs.c.runs, changes.c.runs).label("runs"), *age)
        .select_from(changes)
        .join(monthly_runs, and_(monthly_runs.c.tenant_id == changes.c.tenant_id, is_opened))
    )
    if search or status:
        unchanged, changed = (
            _filtered(runs.join(tenants, tenants.c.id == monthly_runs.c.tenant_id), search, status)
            for runs in (unchanged, changed)
        )
    order = (
        _directed(monthly_runs.c.runs, is_descending),
        monthly_runs.c.tenant_created_at.desc(),
        monthly_runs.c.tenant_id.desc(),
    )
    first = unchanged.order_by(*order).limit(_MAX_ROWS).subquery("first")
    return union_all(select(first), changed).subquery("runs")


def _summed_runs(search: str | None, status: str | None) -> Subquery:
    sums = (
        select(usage_rollups.c.tenant_id, _sum_of_days.label("runs"))
        .where(_is_of_month)
        .group_by(usage_rollups.c.tenant_id)
        .subquery("sums")
    )
    rows = (
        select(func.coalesce(sums.c.runs, 0).label("runs"), tenants.c.created_at, tenants.c.id)
        .select_from(tenants)
        .outerjoin(sums, sums.c.tenant_id == tenants.c.id)
    )
    return _filtered(rows, search, status).subquery("runs")


def _directed(key: ColumnElement[Any], is_descending: bool) -> ColumnElement[Any]:
    return key.desc() if is_descending else key.asc()


def tenants_matching(
    status: StatusFilter,
    is_short: bool,
    words: int,
    by: SortColumn | Literal["cursor"] | None = None,
    is_descending: bool = True,
) -> Select[Any]:
    """The tenants that a search matches, as ``ids_with_total``: a page ordered ``by`` a column, or all of them.

    By ``cursor`` it is the page behind a place of the list by age, newest first.

    ``words`` is the number of the search's words that are additional conditions, with the parameters ``word_0`` and on.
    They do not change the result, because a tenant that contains the whole text contains each word. They let the
    planner search the trigram index for the rare words only; looking a word up that every tenant has would take most of
    the time. With ``is_short`` the text is too short for a trigram: to search for it the database would read the whole
    index, so it compares the rows instead.
    """
    columns = [tenants.c[name] for name in ("id", "created_at", *_KEYS.values())] if by else [tenants.c.id]
    matches = _in_state(select(*columns).select_from(tenants).where(tenant_is_shown), status)
    matches = matches.where(_matches(suffix=literal_column("''")) if is_short else _matches())
    matches = matches.where(*(_matches(f"word_{number}") for number in range(words)))
    behind = is_behind_age if by == "cursor" else None
    return ids_with_total(matches, (lambda rows: _order(rows, by, is_descending)) if by else None, behind)


def _filtered(rows: Select[Any], search: str | None, status: str | None) -> Select[Any]:
    """The rows whose tenants match a search and a status; the ids in the batch already match both."""
    rows = rows.where(tenant_is_shown)
    if search == "found":
        return rows.join(_page_ids, _page_ids.c.id == tenants.c.id)
    return _in_state(rows.where(_matches()) if search else rows, status)


def _in_state(rows: Select[Any], status: str | None) -> Select[Any]:
    if status is None:
        return rows
    state = tenants.c.subscription_state
    return rows.where(state.is_(None) if status == "none" else state == bindparam("status"))


def _matches(parameter: str = "pattern", suffix: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """Whether the name or the slug is like the parameter; with a ``suffix`` appended no index applies."""
    pattern: ColumnElement[str] = bindparam(parameter)
    texts = (tenants.c.folded_name, tenants.c.slug)
    return or_(*((text if suffix is None else text.concat(suffix)).like(pattern, escape="\\") for text in texts))
