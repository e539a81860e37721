"""Metering: usage events in, each counted once however often it is sent, acknowledged once it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import orjson

from app.context import Context
from app.database.connections import as_batch
from app.runtime import Coalesced, Runtime
from app.services.usage.access import metered_tenant
from app.telemetry import metrics
from sql.statements import usage

MAX_EVENTS = 1000
COUNTED = {status: metrics.usage_events.labels(status) for status in ("accepted", "duplicate", "rejected")}


class UsageEvent(NamedTuple):
    """What a device reports; ``at`` None means now, ``metadata`` is kept as it is."""

    id: str
    kind: str
    quantity: int
    at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of one event; ``detail`` says why it was rejected."""

    id: str
    status: Literal["accepted", "duplicate", "rejected"]
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a request's events, in their order, and how many of each."""

    accepted: int
    duplicate: int
    rejected: int
    events: list[EventOutcome]


class Batch(NamedTuple):
    """The events of one request, as they are to be stored, and who brings them."""

    tenant_id: int
    tenant_slug: str
    device_id: int | None
    received_at: datetime
    rows: list[dict[str, Any]]


async def ingest(ctx: Context, tenant_slug: str, events: Sequence[UsageEvent]) -> IngestReport:
    """Store the events of a tenant, each at most once by its id.

    Never refused for quota; an event from the future or older than the limit is rejected by itself. Everything that
    is reported as accepted is committed. Raises DeviceUnknownError, DeviceAccessRevokedError or TenantMismatchError for
    another tenant's slug, TenantNotFoundError.
    """
    device_id: int | None = None
    if ctx.actor.type == "device":
        # Its standing is part of the insert: one statement instead of two.
        tenant_id, device_id = ctx.device
    else:
        tenant_id = (await metered_tenant(ctx, tenant_slug)).tenant_id
    now = ctx.now()
    earliest = now - timedelta(days=ctx.runtime.settings.usage_past_days)
    latest = now + timedelta(seconds=ctx.runtime.settings.usage_future_seconds)
    refused: dict[int, EventOutcome] = {}
    rows: list[dict[str, Any]] = []
    for place, event in enumerate(events):
        at = event.at or now
        if earliest <= at <= latest:
            rows.append(_row(ctx.runtime, event, min(at, now)))
        else:
            refused[place] = EventOutcome(event.id, "rejected", _untimely(ctx.runtime, at, now))
    brought = Batch(tenant_id, tenant_slug, device_id, now, rows)
    new = await ctx.runtime.coalescer(INGESTS).ask(brought, len(rows)) if rows else set()
    if len(new) < len(events):
        # Repeated or rejected ones, or a device that may not: only now it is worth a question.
        await metered_tenant(ctx, tenant_slug)
    return _report(events, refused, new)


def _untimely(runtime: Runtime, at: datetime, now: datetime) -> str:
    if at > now:
        return f"at lies in the future: it is {now.isoformat()} here; set the device's clock"
    return f"at is more than {runtime.settings.usage_past_days} days ago; send events sooner"


def _row(runtime: Runtime, event: UsageEvent, at: datetime) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "kind": event.kind,
        "quantity": event.quantity,
        "at": at.astimezone(UTC),
        "day": at.astimezone(runtime.zone).date(),
        "metadata": None if event.metadata is None else orjson.dumps(event.metadata).decode(),
    }


def _report(events: Sequence[UsageEvent], refused: Mapping[int, EventOutcome], new: set[str]) -> IngestReport:
    """The first event with a new id is the accepted one, later ones in the same request repeat it."""
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    answered: list[EventOutcome] = []
    fresh = set(new)
    for place, event in enumerate(events):
        if (outcome := refused.get(place)) is None:
            outcome = EventOutcome(event.id, "accepted" if event.id in fresh else "duplicate")
            fresh.discard(event.id)
        counts[outcome.status] += 1
        answered.append(outcome)
    for status, count in counts.items():
        if count:
            COUNTED[status].inc(count)
    return IngestReport(**counts, events=answered)


async def _store(runtime: Runtime, brought: Sequence[Batch]) -> list[set[str]]:
    """Store the events of several requests with one statement; answers each request's ids that were new.

    An id that two requests of one device bring goes to the first of them.
    """
    batch = [
        {
            "tenant_id": one.tenant_id,
            "tenant_slug": one.tenant_slug,
            "device_id": one.device_id,
            "received_at": one.received_at,
            "events": one.rows,
        }
        for one in brought
    ]
    async with runtime.db.write_autocommit() as conn:
        stored = await conn.rows(usage.insert_usage_events, batch=as_batch(batch))
    fresh = {tuple(row) for row in stored}
    new: list[set[str]] = []
    for one in brought:
        own = {(one.tenant_id, one.device_id, row["event_id"]) for row in one.rows} & fresh
        fresh -= own
        new.append({event_id for _, _, event_id in own})
    return new


# One lane: two batches of one worker would wait for each other's daily sums.
INGESTS = Coalesced("usage_events", _store, lanes=1, queue_size="usage_queue_events")
