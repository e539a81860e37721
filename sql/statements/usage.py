"""Metered usage: storing events, reading their sums, and deleting old events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    Select,
    String,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    update,
)

from sql import granted
from sql.dialect import batch_rows, insert, nested_rows
from sql.hidden import hidden_too, is_shown
from sql.scope import across_tenants
from sql.sums import MAX_DAY_QUANTITY, whole_sum
from sql.tables import devices, ledger_reservations, plans, subscriptions, tenants, usage_events, usage_rollups
from sql.tables.columns import Instant

_requests = batch_rows(tenant_id=BigInteger, tenant_slug=String, device_id=BigInteger, received_at=Instant, events=JSON)

# The requests whose events may be stored: the device is not revoked, and the slug is its tenant's. A request without a
# device comes from an operator or a tenant's session, and the portal has checked it already. MATERIALIZED, so that this
# is decided once per request: SQLite would read a request of a thousand events again for each of them.
_admitted = (
    select(_requests.c.tenant_id, _requests.c.device_id, _requests.c.received_at, _requests.c.events)
    .select_from(_requests)
    .join(tenants, and_(tenants.c.id == _requests.c.tenant_id, tenants.c.slug == _requests.c.tenant_slug))
    .outerjoin(devices, and_(devices.c.tenant_id == _requests.c.tenant_id, devices.c.id == _requests.c.device_id))
    .where(or_(_requests.c.device_id.is_(None), not_(devices.c.is_revoked)))
    .cte("admitted")
    .prefix_with("MATERIALIZED")
)
_events, _event_fields = nested_rows(
    _admitted.c.events, event_id=String, kind=String, quantity=BigInteger, at=Instant, day=Date, metadata=Text
)

# Inserts the events of many requests and returns the new ones; a trigger on the table updates the daily sums.
insert_usage_events = (
    insert(usage_events)
    .from_select(
        ["tenant_id", "device_id", "received_at", *(str(field.key) for field in _event_fields)],
        select(_admitted.c.tenant_id, _admitted.c.device_id, _admitted.c.received_at, *_event_fields)
        .select_from(_admitted)
        .join(_events, true())
        # Without a WHERE clause SQLite would parse ON CONFLICT as the condition of the join.
        .where(true()),
    )
    .on_conflict_do_nothing(index_elements=[usage_events.c.tenant_id, usage_events.c.event_id])
    .returning(usage_events.c.tenant_id, usage_events.c.device_id, usage_events.c.event_id)
)

_ids = batch_rows(event_id=String)

# What is stored under ids that were reported again.
events_by_id = select(
    usage_events.c.event_id, usage_events.c.kind, usage_events.c.quantity, usage_events.c.voided_at
).join(_ids, and_(usage_events.c.tenant_id == bindparam("tenant_id"), usage_events.c.event_id == _ids.c.event_id))

# What the portal has counted itself: its id is made of that of a reservation of the ledger.
OWN_PREFIX = "run-"
_is_own = exists().where(
    usage_events.c.event_id.startswith(literal(OWN_PREFIX)),
    ledger_reservations.c.request_id == func.substr(usage_events.c.event_id, len(OWN_PREFIX) + 1),
)

# Locked in the order of their ids, so that two who void the same events wait for each other and do not deadlock; who
# comes second finds them voided.
_voidable = (
    select(usage_events.c.event_id)
    .join(_ids, usage_events.c.event_id == _ids.c.event_id)
    .where(
        usage_events.c.tenant_id == bindparam("of_tenant_id"),
        usage_events.c.voided_at.is_(None),
        or_(bindparam("is_operator", type_=Boolean), not_(_is_own)),
    )
    .order_by(usage_events.c.event_id)
    .with_for_update(of=usage_events)
    .cte("voidable")
)

# Voids events and returns them; a trigger takes them out of the sums.
void_events = (
    update(usage_events)
    .where(
        usage_events.c.tenant_id == bindparam("of_tenant_id"),
        usage_events.c.event_id.in_(select(_voidable.c.event_id)),
        usage_events.c.voided_at.is_(None),
    )
    .values(voided_at=bindparam("now"), voided_by=bindparam("by"))
    .returning(usage_events.c.event_id, usage_events.c.kind, usage_events.c.quantity)
)

leave_to_void = (
    select(plans.c.tenant_may_void)
    .join(subscriptions, subscriptions.c.plan_id == plans.c.id)
    .where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))
)


def event_page(has_id: bool, is_voided: bool) -> Select[Any]:
    """A page of a tenant's events behind an id, by their ids; with ``has_id`` the one that has it."""
    page = (
        select(
            usage_events.c.event_id,
            usage_events.c.kind,
            usage_events.c.quantity,
            usage_events.c.at,
            usage_events.c.day,
            usage_events.c.device_id,
            usage_events.c.metadata,
            usage_events.c.received_at,
            usage_events.c.voided_at,
            usage_events.c.voided_by,
        )
        .where(usage_events.c.tenant_id == bindparam("tenant_id"), usage_events.c.event_id > bindparam("after"))
        .order_by(usage_events.c.event_id)
        .limit(bindparam("max_rows"))
    )
    if has_id:
        page = page.where(usage_events.c.event_id == bindparam("event_id"))
    return page.where(usage_events.c.voided_at.is_not(None)) if is_voided else page


_wanted_days = batch_rows(day=Date, kind=String)
sums_of_days = select(usage_rollups.c.day, usage_rollups.c.kind, usage_rollups.c.quantity).join(
    _wanted_days,
    and_(
        usage_rollups.c.tenant_id == bindparam("tenant_id"),
        usage_rollups.c.day == _wanted_days.c.day,
        usage_rollups.c.kind == _wanted_days.c.kind,
    ),
)

# The constraint that a statement violates which takes a day beyond what it holds.
DAY_IS_FULL = "ck_usage_rollups_quantity"
# Those that one violates whose tenant was there when it began, and is not any more.
TENANT_IS_GONE = ("fk_usage_events_tenant_id", "fk_usage_rollups_tenant_id")
_own = usage_events.c["tenant_id", "event_id", "kind", "quantity", "at", "day", "received_at"]
_own_values = {column.key: bindparam(column.key, type_=column.type) for column in _own}
_has_room = not_(
    exists().where(
        *(usage_rollups.c[name] == _own_values[name] for name in ("tenant_id", "day", "kind")),
        usage_rollups.c.quantity > MAX_DAY_QUANTITY - _own_values["quantity"],
    )
)

# One event of the portal's own; none on a day that holds no more, because a run must not fail for its count.
insert_usage_event = insert(usage_events).from_select(list(_own_values), select(*_own_values.values()).where(_has_room))

metered_tenant = (
    select(
        tenants.c.id.label("tenant_id"),
        tenants.c.slug.label("tenant_slug"),
        plans.c.name.label("plan_name"),
        granted.runs.label("monthly_run_quota"),
    )
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenants.c.slug == bindparam("tenant_slug"))
)

_of_month = (
    usage_rollups.c.tenant_id == bindparam("tenant_id"),
    usage_rollups.c.day >= bindparam("first_day"),
    usage_rollups.c.day < bindparam("next_day"),
    # Where all events of a day are voided, nothing is left of it.
    usage_rollups.c.events > 0,
)

sums_by_day = (
    select(usage_rollups.c.day, usage_rollups.c.kind, usage_rollups.c.quantity, usage_rollups.c.events)
    .where(*_of_month)
    .order_by(usage_rollups.c.day, usage_rollups.c.kind)
    .limit(bindparam("max_rows"))
)

sums_by_kind = (
    select(
        usage_rollups.c.kind,
        whole_sum(usage_rollups.c.quantity).label("quantity"),
        whole_sum(usage_rollups.c.events).label("events"),
    )
    .where(*_of_month)
    .group_by(usage_rollups.c.kind)
    .order_by(usage_rollups.c.kind)
    .limit(bindparam("max_rows"))
)

quantity_between = select(func.coalesce(whole_sum(usage_rollups.c.quantity), 0).label("quantity")).where(
    usage_rollups.c.tenant_id == bindparam("tenant_id"),
    usage_rollups.c.kind == bindparam("kind"),
    usage_rollups.c.day >= bindparam("first_day"),
    usage_rollups.c.day < bindparam("next_day"),
)

_counts = usage_events.c.voided_at.is_(None)
_counted = (
    select(
        usage_events.c.tenant_id,
        usage_events.c.day,
        usage_events.c.kind,
        whole_sum(case((_counts, usage_events.c.quantity), else_=0)).label("quantity"),
        func.count(case((_counts, 1))).label("events"),
    )
    .where(usage_events.c.day >= bindparam("first_day"), usage_events.c.day < bindparam("next_day"))
    # Of a tenant that is being deleted the events go before their sums.
    .where(is_shown(usage_events))
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
    .limit(bindparam("max_rows")),
    "the daily check compares every tenant's sums with their events",
)

_event = tuple_(usage_events.c.tenant_id, usage_events.c.event_id)
_oldest = select(usage_events.c.tenant_id, usage_events.c.event_id).where(
    usage_events.c.day < bindparam("first_kept_day")
)

delete_old_usage_events = across_tenants(
    hidden_too(
        delete(usage_events).where(_event.in_(_oldest.order_by(usage_events.c.day).limit(bindparam("max_rows")))),
        "it removes what a deletion would remove later",
    ),
    "retention removes the old events of all tenants",
)
