"""Metered usage: reporting events, and the month's sum against the quota."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, Field, field_validator

from app import errors
from app.access.callers import Caller
from app.access.permissions import Permission
from app.context import Context
from app.services.usage import metering, summary
from app.services.usage.metering import MAX_EVENTS, IngestReport, UsageEvent
from app.services.usage.summary import UsageSummary
from blueprints.web.fields import NO_NUL, TENANT_SLUG_IN_PATH, RequestModel
from blueprints.web.operations import Api

api = Api("usage", "/usage")

METADATA_BYTES = 4096


class UsageEventItem(RequestModel):
    """One thing that was used."""

    id: Annotated[
        str, Field(min_length=1, max_length=100, pattern=NO_NUL, description="Yours; repeated ones count once.")
    ]
    kind: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,49}$", description="What was used; `run` counts towards the quota.")
    ]
    quantity: Annotated[int, Field(ge=1, le=10**12)]
    at: Annotated[AwareDatetime | None, Field(description="When, with an offset; now if absent.")] = None
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
        return metadata


class IngestRequest(RequestModel):
    """A batch of usage events."""

    events: Annotated[list[UsageEventItem], Field(min_length=1, max_length=MAX_EVENTS)]


@api.operation(
    "GET",
    "/{tenant_slug}",
    caller=Caller(device=True, tenant=True, permission=Permission.USAGE_READ),
    answers=UsageSummary,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def usage(ctx: Context, tenant_slug: str) -> UsageSummary:
    """The running month's usage and the plan's quota."""
    return await summary.usage_summary(ctx, tenant_slug)


@api.operation(
    "POST",
    "/{tenant_slug}/events",
    caller=Caller(device=True, tenant=True, permission=Permission.USAGE_WRITE),
    body=IngestRequest,
    answers=IngestReport,
    errors=(errors.TenantMismatchError, errors.TenantNotFoundError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def usage_events(ctx: Context, body: IngestRequest, tenant_slug: str) -> IngestReport:
    """Report usage events; answered once they are stored.

    Each event counts once by its id, however often it is sent. An event from the future or older than the
    installation allows is rejected by itself; a malformed one refuses the request, and nothing of it is stored.
    """
    events = [UsageEvent(item.id, item.kind, item.quantity, item.at, item.metadata) for item in body.events]
    return await metering.ingest(ctx, tenant_slug, events)
