"""What many tenants have, asked for together: pages of codes, devices and days of usage, and subscriptions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from sql import granted
from sql.counting import PAGE_SIZE, bounded_count
from sql.dialect import batch_rows
from sql.hidden import is_shown, tenant_is_shown
from sql.lists.code_list import code_details, code_status
from sql.lists.device_list import device_details
from sql.tables import activation_codes, devices, plans, subscriptions, tenants, usage_rollups

# Pages of the lists of tenants: each behind an id, the newest first.
_lists = batch_rows(place=Integer, tenant_id=BigInteger, before_id=BigInteger, status=String)


def _is_listed(table: Table, lists: FromClause) -> ColumnElement[bool]:
    """Whether a row belongs to a list, on whichever page."""
    is_of_tenant = table.c.tenant_id == lists.c.tenant_id
    if table is devices:
        return and_(is_of_tenant)
    return and_(is_of_tenant, or_(lists.c.status.is_(None), code_status == lists.c.status))


def _pages(table: Table, details: tuple[ColumnElement[Any], ...]) -> Select[Any]:
    """A page of each list.

    Where a page ends is looked up first, so that an index leads to its rows: to number the rows of each tenant would be
    to read all of them.
    """
    last = (
        select(table.c.id)
        .where(_is_listed(table, _lists), table.c.id < _lists.c.before_id)
        .order_by(table.c.id.desc())
        .limit(1)
        .offset(PAGE_SIZE - 1)
        .correlate(_lists)
        .scalar_subquery()
    )
    bounds = select(*_lists.c, func.coalesce(last, 0).label("last_id")).cte("bounds").prefix_with("MATERIALIZED")
    is_within = and_(table.c.id < bounds.c.before_id, table.c.id >= bounds.c.last_id)
    return (
        select(bounds.c.place, *details)
        .select_from(bounds)
        .join(table, and_(_is_listed(table, bounds), is_within))
        .join(tenants, tenants.c.id == table.c.tenant_id)
        .where(tenant_is_shown)
        .order_by(bounds.c.place, table.c.id.desc())
    )


def _counts(table: Table) -> Select[Any]:
    """How many rows each list has, counted up to the bound."""
    rows = select(table.c.id).where(_is_listed(table, _lists), is_shown(table)).correlate(_lists)
    return select(_lists.c.place, bounded_count(rows).label("total")).select_from(_lists)


codes_of_tenants = _pages(activation_codes, code_details)
devices_of_tenants = _pages(devices, device_details)
counts_of_codes = _counts(activation_codes)
counts_of_devices = _counts(devices)

_slugs = batch_rows(slug=String)

# The current subscriptions of tenants, each beside its tenant's slug.
subscriptions_of_tenants = (
    select(
        tenants.c.slug.label("tenant_slug"),
        subscriptions.c.id,
        subscriptions.c.plan_id,
        subscriptions.c.state,
        subscriptions.c.seats_used,
        granted.devices.label("max_devices"),
        subscriptions.c.max_devices_override,
        granted.runs.label("monthly_run_quota"),
        subscriptions.c.monthly_run_quota_override,
        subscriptions.c.current_period_start,
        subscriptions.c.current_period_end,
        subscriptions.c.grace_until,
        subscriptions.c.stripe_customer_id,
        subscriptions.c.stripe_subscription_id,
        subscriptions.c.created_at,
        subscriptions.c.updated_at,
    )
    .select_from(_slugs)
    .join(tenants, tenants.c.slug == _slugs.c.slug)
    .join(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .join(plans, plans.c.id == subscriptions.c.plan_id)
)

_plan_ids = batch_rows(id=BigInteger)
plans_by_ids = select(plans).join(_plan_ids, _plan_ids.c.id == plans.c.id)

# The sums of days of tenants from one day to another, behind a day and a kind.
_spans = batch_rows(
    place=Integer,
    tenant_id=BigInteger,
    since=Date,
    until=Date,
    kind=String,
    after_day=Date,
    after_kind=String,
)
_is_in_span = and_(
    usage_rollups.c.tenant_id == _spans.c.tenant_id,
    usage_rollups.c.day >= _spans.c.since,
    usage_rollups.c.day <= _spans.c.until,
    or_(_spans.c.kind.is_(None), usage_rollups.c.kind == _spans.c.kind),
)
_is_behind_day = or_(
    _spans.c.after_day.is_(None),
    usage_rollups.c.day < _spans.c.after_day,
    and_(usage_rollups.c.day == _spans.c.after_day, usage_rollups.c.kind > _spans.c.after_kind),
)
_ranked = (
    select(
        _spans.c.place,
        usage_rollups.c.day,
        usage_rollups.c.kind,
        usage_rollups.c.quantity,
        usage_rollups.c.events,
        func.row_number()
        .over(partition_by=_spans.c.place, order_by=(usage_rollups.c.day.desc(), usage_rollups.c.kind))
        .label("rank"),
    )
    .select_from(_spans)
    .join(usage_rollups, and_(_is_in_span, _is_behind_day))
    .where(is_shown(usage_rollups))
    .subquery("ranked")
)
usage_of_tenants = (
    select(_ranked.c.place, _ranked.c.day, _ranked.c.kind, _ranked.c.quantity, _ranked.c.events)
    .where(_ranked.c.rank <= bindparam("page_size"))
    .order_by(_ranked.c.place, _ranked.c.rank)
)
counts_of_usage = (
    select(_spans.c.place, func.count(usage_rollups.c.day).label("total"))
    .select_from(_spans)
    .join(usage_rollups, _is_in_span)
    .where(is_shown(usage_rollups))
    .group_by(_spans.c.place)
)
