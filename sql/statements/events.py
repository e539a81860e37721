"""The audit trail: writing events, and reading pages from a cursor that skips none."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, insert, or_, select, tuple_

from sql.counting import PAGE_SIZE
from sql.dialect import events_horizon
from sql.hidden import tenant_is_shown
from sql.scope import across_tenants
from sql.tables import activation_codes, devices, platform_events, tenants
from sql.tables.columns import Instant

insert_events = across_tenants(insert(platform_events), "an event of the whole installation has no tenant")


class EventFilter(NamedTuple):
    """The conditions of a page of events; each one compares with the parameter of the same name."""

    event_type: bool = False
    severity: bool = False
    tenant_id: bool = False
    actor: bool = False
    since: bool = False
    until: bool = False


@cache
def events_page(filters: EventFilter, *, is_oldest_first: bool) -> Select[Any]:
    """A page after a cursor: newest first by time, or oldest first in the order of the trail.

    Both contain only events whose transaction is older than every running one, so no event can appear later in front of
    a cursor that a reader already holds.
    """
    columns = platform_events.c
    conditions = {
        "event_type": columns.event_type == bindparam("event_type"),
        "severity": columns.severity == bindparam("severity"),
        "tenant_id": columns.tenant_id == bindparam("tenant_id"),
        "actor": columns.actor_name == bindparam("actor"),
        "since": columns.created_at >= bindparam("since"),
        "until": columns.created_at < bindparam("until"),
    }
    if is_oldest_first:
        order: list[ColumnElement[Any]] = [columns.xid, columns.id]
        place = tuple_(*order) > tuple_(bindparam("cursor_xid"), bindparam("cursor_id"))
    else:
        order = [columns.created_at.desc(), columns.id.desc()]
        cursor = tuple_(bindparam("cursor_at", type_=Instant), bindparam("cursor_id"))
        place = tuple_(columns.created_at, columns.id) < cursor
    statement = (
        select(platform_events)
        .where(
            place,
            columns.xid < events_horizon(),
            *(conditions[name] for name, is_set in filters._asdict().items() if is_set),
        )
        .order_by(*order)
        .limit(PAGE_SIZE)
    )
    return across_tenants(statement, "operators read the trail of the whole installation")


_newest = (
    select(platform_events)
    .where(platform_events.c.created_at >= bindparam("since"))
    .order_by(platform_events.c.created_at.desc(), platform_events.c.id.desc())
    .limit(bindparam("max_rows"))
    .subquery("newest")
)

# With the names that people gave: those of the tenant, the device and the code that an event is about.
recent_events = across_tenants(
    select(
        _newest.c.event_type,
        _newest.c.severity,
        _newest.c.title,
        _newest.c.actor_name,
        tenants.c.name.label("tenant_name"),
        func.coalesce(devices.c.label, activation_codes.c.label).label("label"),
        or_(_newest.c.device_id.is_not(None), _newest.c.code_id.is_not(None)).label("is_of_license"),
        _newest.c.metadata,
        _newest.c.created_at,
    )
    .select_from(_newest)
    .outerjoin(tenants, and_(tenants.c.id == _newest.c.tenant_id, tenant_is_shown))
    .outerjoin(devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.id == _newest.c.device_id))
    .outerjoin(
        activation_codes,
        and_(activation_codes.c.tenant_id == tenants.c.id, activation_codes.c.id == _newest.c.code_id),
    )
    .order_by(_newest.c.created_at.desc(), _newest.c.id.desc()),
    "the dashboard's feed shows the events of all tenants",
)
