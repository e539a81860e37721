"""Metered usage: reporting events, and the month's sum against the quota."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BeforeValidator, Field, field_validator

from app import errors
from app.access.callers import Caller
from app.access.permissions import Permission
from app.context import Context
from app.contract.api_document import LARGE_BODY
from app.services.usage import event_list, metering, summary, voiding
from app.services.usage.event_list import MAX_LISTED, StoredUsageEvent
from app.services.usage.metering import MAX_EVENTS, IngestReport, UsageEvent
from app.services.usage.summary import UsageSummary
from app.services.usage.voiding import MAX_VOIDED, VoidReport
from blueprints.web.fields import NO_NUL, TENANT_SLUG_IN_PATH, RequestModel, written_out
from blueprints.web.operations import Api

api = Api("usage", "/usage")

METADATA_BYTES = 4096


MONTH = re.compile(r"(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])")
EventId = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]


def _first_day(month: object) -> object:
    if not isinstance(month, str):
        return month
    if not MONTH.fullmatch(month) or month == "9999-12":
        raise ValueError("must be a month such as 2026-10")
    return date.fromisoformat(f"{month}-01")


def _is_json(value: object) -> bool:
    """Whether a value can be written as JSON and read again; what is not finite would be kept as null."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return all(map(_is_json, value)) if isinstance(value, list) else True


class UsageEventItem(RequestModel):
    """One thing that was used."""

    id: Annotated[EventId, Field(description="Yours; repeated ones count once.")]
    kind: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,49}$", description="What was used; `run` counts towards the quota.")
    ]
    quantity: Annotated[int, Field(ge=1, le=10**12)]
    # Whether the portal can take it is said of each event by itself.
    at: Annotated[
        Annotated[AwareDatetime, Field(strict=False), BeforeValidator(written_out)] | None,
        Field(description="When, with an offset; now if absent."),
    ] = None
    metadata: Annotated[dict[str, Any] | None, Field(description="Kept as it is; at most 4096 bytes as JSON.")] = None

    @field_validator("metadata")
    @classmethod
    def _bounded(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            size = 0 if metadata is None else len(orjson.dumps(metadata))
        except orjson.JSONEncodeError as failure:
            raise ValueError(f"cannot be kept: {failure}") from None
        if size > METADATA_BYTES:
            raise ValueError(f"is {size} bytes as JSON; at most {METADATA_BYTES} are kept")
        if not _is_json(metadata):
            raise ValueError("must hold finite numbers: NaN and Infinity are no JSON")
        return metadata


class IngestRequest(RequestModel):
    """A batch of usage events."""

    events: Annotated[list[UsageEventItem], Field(min_length=1, max_length=MAX_EVENTS)]


class UsageQuery(RequestModel):
    """Which month."""

    month: Annotated[
        date | None,
        BeforeValidator(_first_day),
        Field(
            description="A month such as 2026-10, also by kind and by day; the running one if absent.",
            json_schema_extra={"anyOf": [{"type": "string", "pattern": MONTH.pattern}, {"type": "null"}]},
        ),
    ] = None


class EventQuery(RequestModel):
    """Which events."""

    id: Annotated[EventId | None, Field(description="The one with this id.")] = None
    voided: Annotated[bool, Field(description="Only those that were voided.")] = False
    after: Annotated[str, Field(max_length=100, pattern=NO_NUL, description="`next_after` of the page before.")] = ""
    page_size: Annotated[int, Field(ge=1, le=MAX_LISTED, description="Events on a page.")] = 50


class VoidRequest(RequestModel):
    """Events that were wrong."""

    ids: Annotated[list[EventId], Field(min_length=1, max_length=MAX_VOIDED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedUsageEvent:
    """A usage event as it is stored; one that is voided counts in no sum."""

    id: str
    kind: str
    quantity: int
    at: datetime
    day: date
    device_id: int | None
    metadata: dict[str, Any] | None
    received_at: datetime
    voided_at: datetime | None
    voided_by: str | None

    @classmethod
    def of(cls, event: StoredUsageEvent) -> ListedUsageEvent:
        """The answer about an event."""
        members = event._asdict()
        metadata = None if event.metadata is None else orjson.loads(event.metadata)
        return cls(id=members.pop("event_id"), **members | {"metadata": metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEventPage:
    """A page, and behind which id the next one begins; null at the end."""

    events: list[ListedUsageEvent]
    next_after: str | None


@api.operation(
    "GET",
    "/{tenant_slug}",
    caller=Caller(device=True, tenant=True, permission=Permission.USAGE_READ),
    query=UsageQuery,
    answers=UsageSummary,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def usage(ctx: Context, query: UsageQuery, tenant_slug: str) -> UsageSummary:
    """The running month's usage and the plan's quota, or a month's usage by kind and by day.

    A month is named as `2026-10`; quota and plan are those of today. What was voided counts in none.
    """
    return await summary.usage_summary(ctx, tenant_slug, query.month)


@api.operation(
    "POST",
    "/{tenant_slug}/events",
    caller=Caller(device=True, tenant=True, permission=Permission.USAGE_WRITE),
    body=IngestRequest,
    max_body=None,
    answers=IngestReport,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError, errors.EventsRejectedError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def usage_events(ctx: Context, body: IngestRequest, tenant_slug: str) -> IngestReport:
    """Report usage events; answered once they are stored.

    Each event counts once by its id, however often it is sent; one whose kind or quantity differ from what is known
    under its id is `differing`. An event is rejected by itself that is from the future, older than the installation
    allows, or takes its day beyond 10^17 of its kind, and where all are, that is a 422; a malformed one refuses the
    request, and nothing of it is stored.
    """
    events = [UsageEvent(item.id, item.kind, item.quantity, item.at, item.metadata) for item in body.events]
    return await metering.ingest(ctx, tenant_slug, events)


@api.operation(
    "GET",
    "/{tenant_slug}/events",
    caller=Caller(tenant=True, permission=Permission.USAGE_READ),
    query=EventQuery,
    answers=UsageEventPage,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def stored_usage_events(ctx: Context, query: EventQuery, tenant_slug: str) -> UsageEventPage:
    """Usage events as they are stored, by their ids, voided ones among them."""
    page = await event_list.list_events(
        ctx, tenant_slug, event_id=query.id, is_voided=query.voided, after=query.after, page_size=query.page_size
    )
    return UsageEventPage(events=[ListedUsageEvent.of(event) for event in page.events], next_after=page.next_after)


@api.operation(
    "POST",
    "/{tenant_slug}/events/void",
    caller=Caller(device=True, tenant=True, permission=Permission.USAGE_WRITE),
    body=VoidRequest,
    max_body=LARGE_BODY,
    answers=VoidReport,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError, errors.VoidingNotPermittedError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def void_usage_events(ctx: Context, body: VoidRequest, tenant_slug: str) -> VoidReport:
    """Void usage events that were wrong: they leave the sums at once, and stay in sight.

    A device or a session may if its plan lets it (`tenantMayVoid`), but for runs that the portal has counted itself.
    To void an event twice is to void it once; its id is not free again.
    """
    return await voiding.void_events(ctx, tenant_slug, body.ids)
