"""Tenants as operators and they themselves see them: one, or a page of all in any order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from sql.dialect import batch_rows
from sql.scope import across_tenants
from sql.tables import activation_codes, monthly_runs, plans, subscriptions, tenants

# Filtered totals are exact up to here; what asks for one row more knows whether there are more.
MOST_COUNTED = 10_000

_is_current = and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None))
_is_of_month = and_(monthly_runs.c.tenant_id == tenants.c.id, monthly_runs.c.month == bindparam("month"))
_runs = func.coalesce(monthly_runs.c.runs, 0)

_details = (
    select(
        tenants.c.id,
        tenants.c.name,
        tenants.c.slug,
        tenants.c.logo_url,
        tenants.c.primary_color,
        tenants.c.domain,
        tenants.c.email,
        tenants.c.phone_number,
        tenants.c.created_at,
        tenants.c.updated_at,
        plans.c.name.label("plan_name"),
        subscriptions.c.state.label("subscription_state"),
        func.coalesce(plans.c.monthly_run_quota, 0).label("usage_quota"),
        _runs.label("usage_current"),
    )
    .select_from(tenants)
    .outerjoin(subscriptions, _is_current)
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .outerjoin(monthly_runs, _is_of_month)
)

# A page of what a person looks a slug up in, in its order.
tenants_by_slug = (
    select(
        tenants.c.id,
        tenants.c.name,
        tenants.c.slug,
        plans.c.name.label("plan_name"),
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

tenant_by_slug = _details.where(tenants.c.slug == bindparam("tenant_slug"))

tenant_by_id = _details.where(tenants.c.id == bindparam("tenant_id"))

_asked = batch_rows(tenant_id=BigInteger)

# What some tenants were given in a month, and how much of it was used.
codes_of_month = (
    select(
        activation_codes.c.tenant_id,
        func.count().label("total"),
        func.count(case((activation_codes.c.use_count > 0, 1))).label("used"),
    )
    .select_from(_asked)
    .join(
        activation_codes,
        and_(
            activation_codes.c.tenant_id == _asked.c.tenant_id,
            activation_codes.c.created_at >= bindparam("first"),
            activation_codes.c.created_at < bindparam("next"),
        ),
    )
    .group_by(activation_codes.c.tenant_id)
)

_COLUMNS = {"name": tenants.c.name, "slug": tenants.c.slug, "updated_at": tenants.c.updated_at}


_chosen = batch_rows(id=BigInteger)


def tenant_page(by: str, is_descending: bool, search: str | None, status: str | None, is_opened: bool) -> Select[Any]:
    """A page of tenants, ordered by a column (``created_at`` unless another one is known) or by the month's ``usage``.

    ``search`` says whether the batch names those ``found``, or whether each is compared on the ``way``. ``status`` is
    None for all, ``none`` for those without a subscription; for any other word its value is a parameter. Where the
    month is opened, its rows are in the order of usage, and nothing has to be sorted.
    """
    newest_first = (tenants.c.created_at.desc(), tenants.c.id.desc())
    joins_usage = by == "usage"
    if joins_usage and is_opened:
        key: ColumnElement[Any] = monthly_runs.c.runs
        newest_first = (monthly_runs.c.tenant_created_at.desc(), monthly_runs.c.tenant_id.desc())
        found = select(tenants.c.id).select_from(monthly_runs).join(tenants, tenants.c.id == monthly_runs.c.tenant_id)
        found = found.where(monthly_runs.c.month == bindparam("month"))
    elif joins_usage:
        key, found = _runs, select(tenants.c.id).select_from(tenants).outerjoin(monthly_runs, _is_of_month)
    else:
        key, found = _COLUMNS.get(by, tenants.c.created_at), select(tenants.c.id).select_from(tenants)
    ordered = key.desc() if is_descending else key.asc()
    if search == "found":
        found = found.join(_chosen, _chosen.c.id == tenants.c.id)
    else:
        found = _filtered(found, search is not None, status)
    found = found.order_by(ordered, *newest_first)
    page = found.limit(bindparam("page_size")).offset(bindparam("skip")).subquery("page")
    shown = (_runs.desc() if is_descending else _runs.asc()) if joins_usage else ordered
    return _details.join(page, page.c.id == tenants.c.id).order_by(
        shown, tenants.c.created_at.desc(), tenants.c.id.desc()
    )


def tenants_named(status: str | None, is_short: bool) -> Select[Any]:
    """The tenants that a search finds, in no order; one more than are counted says that there are more.

    What is too short for a trigram would be looked for in all of the index, and is looked for in the rows.
    """
    found = _filtered(select(tenants.c.id).select_from(tenants), not is_short, status)
    if is_short:
        found = found.where(_is_named(literal_column("''")))
    return found.limit(MOST_COUNTED + 1)


def tenants_in(status: str | None) -> Select[Any]:
    """How many tenants are in a state, or one more than are counted."""
    if status in {None, "none"}:
        found = _filtered(select(tenants.c.id).select_from(tenants), False, status)
    else:
        found = select(subscriptions.c.id).where(
            subscriptions.c.ended_at.is_(None), subscriptions.c.state == bindparam("status")
        )
    counted = select(func.count().label("total")).select_from(found.limit(MOST_COUNTED + 1).subquery("found"))
    return across_tenants(counted, "operators see how many tenants there are")


def _filtered(found: Select[Any], has_search: bool, status: str | None) -> Select[Any]:
    if has_search:
        found = found.where(_is_named())
    if status == "none":
        return found.where(not_(exists().where(_is_current).correlate(tenants)))
    if status is not None:
        return found.join(subscriptions, _is_current).where(subscriptions.c.state == bindparam("status"))
    return found


def _is_named(behind: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """Whether name or slug holds what is looked for; with something behind them no index is asked."""
    pattern = func.lower(bindparam("pattern"))
    texts = [func.lower(column) for column in (tenants.c.name, tenants.c.slug)]
    return or_(*((text if behind is None else text.concat(behind)).like(pattern, escape="\\") for text in texts))
