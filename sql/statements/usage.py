"""Metered usage: taking events in, and reading their sums."""

from __future__ import annotations

from sqlalchemy import BigInteger, Date, String, Text, and_, bindparam, delete, func, or_, select, true

from sql.dialect import batch_rows, insert
from sql.scope import across_tenants
from sql.tables import plans, subscriptions, tenants, usage_events, usage_rollups
from sql.tables.columns import Instant

_given = batch_rows(
    tenant_id=BigInteger,
    event_id=String,
    device_id=BigInteger,
    kind=String,
    quantity=BigInteger,
    at=Instant,
    day=Date,
    metadata=Text,
    received_at=Instant,
)

# Answers the keys that were new; the sums per day follow by the trigger on the table.
insert_usage_events = (
    insert(usage_events)
    .from_select(list(_given.c.keys()), select(_given).where(true()))
    .on_conflict_do_nothing(index_elements=[usage_events.c.tenant_id, usage_events.c.event_id])
    .returning(usage_events.c.tenant_id, usage_events.c.event_id)
)

metered_tenant = (
    select(tenants.c.id, tenants.c.slug, plans.c.name.label("plan_name"), plans.c.monthly_run_quota)
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenants.c.slug == bindparam("tenant_slug"))
)

quantity_between = select(func.coalesce(func.sum(usage_rollups.c.quantity), 0).label("quantity")).where(
    usage_rollups.c.tenant_id == bindparam("tenant_id"),
    usage_rollups.c.kind == bindparam("kind"),
    usage_rollups.c.day >= bindparam("first_day"),
    usage_rollups.c.day < bindparam("next_day"),
)

_counted = (
    select(
        usage_events.c.tenant_id,
        usage_events.c.day,
        usage_events.c.kind,
        func.sum(usage_events.c.quantity).label("quantity"),
        func.count().label("events"),
    )
    .where(usage_events.c.day >= bindparam("first_day"), usage_events.c.day < bindparam("next_day"))
    .group_by(usage_events.c.tenant_id, usage_events.c.day, usage_events.c.kind)
    .subquery("counted")
)

rollups_that_differ = across_tenants(
    select(
        _counted.c.tenant_id,
        _counted.c.day,
        _counted.c.kind,
        _counted.c.quantity,
        _counted.c.events,
        usage_rollups.c.quantity.label("rolled_quantity"),
    )
    .outerjoin(
        usage_rollups,
        (usage_rollups.c.tenant_id == _counted.c.tenant_id)
        & (usage_rollups.c.day == _counted.c.day)
        & (usage_rollups.c.kind == _counted.c.kind),
    )
    .where(
        or_(
            usage_rollups.c.quantity.is_(None),
            usage_rollups.c.quantity != _counted.c.quantity,
            usage_rollups.c.events != _counted.c.events,
        )
    )
    .order_by(_counted.c.tenant_id, _counted.c.day, _counted.c.kind)
    .limit(bindparam("most")),
    "the daily check compares every tenant's sums with their events",
)

delete_old_usage_events = across_tenants(
    delete(usage_events).where(usage_events.c.day < bindparam("first_kept_day")),
    "retention removes events past their age, whoever's they are",
)
