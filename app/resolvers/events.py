"""The audit trail, page by page."""

from __future__ import annotations

from functools import partial
from typing import Any

from ariadne import EnumType, QueryType

from app.events import StoredEvent
from app.resolvers.connections import Connection, Slice, cursor_is_after
from app.resolvers.context import Info
from app.resolvers.inputs import row_id
from app.services.audit import trail
from app.services.audit.trail import Chosen

severities = EnumType("AuditSeverity", {"MAJOR": "major", "MINOR": "minor"})
orders = EnumType("AuditOrder", {"NEWEST": "newest", "OLDEST": "oldest"})
query = QueryType()


def _chosen(given: dict[str, Any], order: str) -> Chosen:
    tenant_id = given.pop("tenant_id", None)
    number = None if tenant_id is None else row_id(tenant_id, "tenantId")
    return Chosen(**given, tenant_id=number, is_oldest_first=order == "oldest")


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
    page, chosen = Slice.asked(first, after), _chosen(filter or {}, order)
    with cursor_is_after():
        found = await trail.list_events(info.context.ctx, chosen, cursor=after, page_size=page.wanted)
    return page.connection(found.events, partial(trail.cursor_behind, chosen=chosen))
