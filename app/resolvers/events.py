"""The audit trail, page by page."""

from __future__ import annotations

from functools import partial
from typing import Any

from ariadne import EnumType, QueryType

from app.events import StoredEvent
from app.resolvers.connections import Connection, Slice, cursor_is_after
from app.resolvers.context import Info
from app.services.audit import trail
from app.services.audit.trail import Chosen

severities = EnumType("AuditSeverity", {"MAJOR": "major", "MINOR": "minor"})
orders = EnumType("AuditOrder", {"NEWEST": "newest", "OLDEST": "oldest"})
query = QueryType()


@query.field("auditEvents")
async def resolve_audit_events(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    order: str,
    first: int,
    after: str | None,
) -> Connection[StoredEvent]:
    """A page of the trail."""
    page, chosen = Slice.asked(first, after), Chosen(**(filter or {}), is_oldest_first=order == "oldest")
    with cursor_is_after():
        found = await trail.list_events(info.context.ctx, chosen, cursor=after, page_size=page.wanted)
    return page.connection(found.events, partial(trail.cursor_behind, chosen=chosen))
