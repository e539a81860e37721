"""The audit trail for operators: a filtered list, and the same as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from sanic import Request

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.events import StoredEvent
from app.services.audit import trail
from app.services.audit.trail import MAX_EVENTS, Chosen
from blueprints.admin_api import api
from blueprints.web.downloads import Download
from blueprints.web.fields import NO_NUL, Moment, RequestModel, TenantSlug
from sql.bounds import MAX_ID


class EventsQuery(RequestModel):
    """Which events, from where on, and how."""

    event_type: Annotated[str | None, Field(max_length=50, pattern=NO_NUL, description="`code_activated`, ...")] = None
    severity: Annotated[Literal["major", "minor"] | None, Field(description="What happens every day is minor.")] = None
    tenant_slug: Annotated[TenantSlug | None, Field(description="The tenant's slug.")] = None
    tenant_id: Annotated[
        int | None, Field(ge=1, le=MAX_ID, description="For a tenant that was deleted; its slug wins.")
    ] = None
    actor: Annotated[
        str | None, Field(max_length=255, pattern=NO_NUL, description="The actor's name, as events show it.")
    ] = None
    since: Annotated[Moment | None, Field(description="The first moment, with an offset.")] = None
    until: Annotated[Moment | None, Field(description="The first moment after, with an offset.")] = None
    order: Annotated[Literal["newest", "oldest"], Field(description="Which end comes first.")] = "newest"
    cursor: Annotated[str | None, Field(max_length=100, description="`next_cursor` of the page before.")] = None
    page_size: Annotated[int, Field(ge=1, le=MAX_EVENTS, description="Events on a page.")] = 50
    format: Annotated[
        Literal["json", "csv"] | None, Field(description="`csv` for all of them; also by Accept: text/csv.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """One event as operators see it."""

    id: int
    event_type: str
    severity: str
    title: str
    actor_type: str
    actor_name: str
    actor_id: int | None
    tenant_id: int | None
    code_id: int | None
    device_id: int | None
    project_id: str | None
    metadata: dict[str, Any]
    request_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, event: StoredEvent) -> ListedEvent:
        """The answer about an event of the trail."""
        members = event._asdict()
        del members["xid"]
        return cls(**members | {"metadata": orjson.loads(event.metadata)})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """A page, and where the next one begins; None at the end."""

    events: list[ListedEvent]
    next_cursor: str | None


@api.operation(
    "GET",
    "/events",
    caller=operator(Permission.EVENTS_READ),
    query=EventsQuery,
    answers=EventPage,
    errors=(errors.TenantNotFoundError,),
    download="text/csv",
)
async def events(ctx: Context, query: EventsQuery) -> EventPage | Download:
    """What happened, newest first, one page at a time.

    Going on with `next_cursor` neither skips nor repeats an event that was there at the beginning. With the oldest
    first none is ever skipped, so that a program may follow the trail. As CSV all events are answered at once, whatever
    the page size.
    """
    chosen = Chosen(
        event_type=query.event_type,
        severity=query.severity,
        tenant_slug=query.tenant_slug,
        tenant_id=query.tenant_id,
        actor=query.actor,
        since=query.since,
        until=query.until,
        is_oldest_first=query.order == "oldest",
    )
    if query.format == "csv" or (query.format is None and _accepts_csv(Request.get_current())):
        return Download("text/csv; charset=utf-8", "events.csv", await trail.export_events(ctx, chosen))
    page = await trail.list_events(ctx, chosen, cursor=query.cursor, page_size=query.page_size)
    return EventPage(events=[ListedEvent.of(event) for event in page.events], next_cursor=page.next_cursor)


def _accepts_csv(request: Request) -> bool:
    """Whether CSV is what is wanted first."""
    first = (request.headers.get("accept") or "").partition(",")[0]
    return first.partition(";")[0].strip().lower() == "text/csv"
