"""The audit trail: writing one row, and reading on from a cursor without ever skipping one."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, insert, or_, select

from sql.dialect import events_horizon
from sql.scope import across_tenants
from sql.tables import platform_events

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
