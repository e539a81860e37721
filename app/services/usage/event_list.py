"""A tenant's usage events as they are stored, voided ones among them."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from typing import NamedTuple

from app.context import Context
from app.services.usage.access import metered_tenant
from sql.statements import usage

MAX_LISTED = 200

_page = cache(usage.event_page)


class StoredUsageEvent(NamedTuple):
    """A usage event; ``metadata`` is JSON, ``voided_by`` names who has voided it."""

    event_id: str
    kind: str
    quantity: int
    at: datetime
    day: date
    device_id: int | None
    metadata: str | None
    received_at: datetime
    voided_at: datetime | None
    voided_by: str | None


class UsageEventPage(NamedTuple):
    """Some events by their ids, and behind which id the next page begins; None at the end."""

    events: list[StoredUsageEvent]
    next_after: str | None


async def list_events(
    ctx: Context,
    tenant_slug: str,
    *,
    event_id: str | None = None,
    is_voided: bool = False,
    after: str = "",
    page_size: int = 50,
) -> UsageEventPage:
    """The tenant's events behind an id, or the one with an id; raises TenantMismatchError, TenantNotFoundError."""
    tenant = await metered_tenant(ctx, tenant_slug)
    values = {} if event_id is None else {"event_id": event_id}
    async with ctx.read() as conn:
        statement = _page(event_id is not None, is_voided)
        found = await conn.many(
            statement, StoredUsageEvent, tenant_id=tenant.tenant_id, after=after, max_rows=page_size + 1, **values
        )
    is_last = len(found) <= page_size
    return UsageEventPage(found[:page_size], None if is_last else found[page_size - 1].event_id)
