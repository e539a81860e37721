"""The audit trail: writing one row, and reading on from a cursor without ever skipping one."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, insert, or_, select, tuple_

from sql.dialect import events_horizon
from sql.scope import across_tenants
from sql.tables import platform_events, tenants

insert_events = across_tenants(
    insert(platform_events), "an event may concern the whole installation and then names no tenant"
)

events_after = across_tenants(
    select(platform_events)
    .where(
        or_(
            platform_events.c.xid > bindparam("after_xid"),
            and_(platform_events.c.xid == bindparam("after_xid"), platform_events.c.id > bindparam("after_id")),
        ),
        platform_events.c.xid < events_horizon(),
    )
    .order_by(platform_events.c.xid, platform_events.c.id)
    .limit(bindparam("page_size")),
    "operators and the audit chain read the trail of the whole installation",
)


class EventFilter(NamedTuple):
    """Which conditions a page of events has; each reads the parameter of its name."""

    event_type: bool = False
    severity: bool = False
    tenant_id: bool = False
    actor: bool = False
    since: bool = False
    until: bool = False


@cache
def events_page(chosen: EventFilter, *, is_oldest_first: bool) -> Select[Any]:
    """A page from a cursor on, in the order of the trail or against it; only what every cursor before has passed."""
    columns = platform_events.c
    conditions = {
        "event_type": columns.event_type == bindparam("event_type"),
        "severity": columns.severity == bindparam("severity"),
        "tenant_id": columns.tenant_id == bindparam("tenant_id"),
        "actor": columns.actor_name == bindparam("actor"),
        "since": columns.created_at >= bindparam("since"),
        "until": columns.created_at < bindparam("until"),
    }
    place, cursor = tuple_(columns.xid, columns.id), tuple_(bindparam("cursor_xid"), bindparam("cursor_id"))
    statement = select(platform_events).where(
        place > cursor if is_oldest_first else place < cursor,
        columns.xid < events_horizon(),
        *(conditions[name] for name, is_asked in chosen._asdict().items() if is_asked),
    )
    order = (columns.xid, columns.id) if is_oldest_first else (columns.xid.desc(), columns.id.desc())
    return across_tenants(
        statement.order_by(*order).limit(bindparam("page_size")), "operators read the trail of the whole installation"
    )


recent_events = across_tenants(
    select(
        platform_events.c.event_type,
        platform_events.c.severity,
        platform_events.c.title,
        platform_events.c.actor_name,
        tenants.c.name.label("tenant_name"),
        platform_events.c.metadata,
        platform_events.c.created_at,
    )
    .outerjoin(tenants, tenants.c.id == platform_events.c.tenant_id)
    .where(platform_events.c.created_at >= bindparam("since"))
    .order_by(platform_events.c.created_at.desc(), platform_events.c.id.desc())
    .limit(bindparam("most")),
    "the dashboard's feed tells what happened anywhere",
)
