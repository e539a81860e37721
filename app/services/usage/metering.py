"""Metering: usage events in, each counted once however often it is sent, acknowledged once it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from app import metrics
from app.context import Context
from app.db import STORED_MOMENT, as_batch
from app.runtime import Coalesced, Runtime
from app.services.usage.access import MeteredTenant, metered_tenant
from sql.statements import usage

MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class UsageEvent:
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


Row = dict[str, Any]


async def ingest(ctx: Context, tenant_slug: str, events: Sequence[UsageEvent]) -> IngestReport:
    """Store the events of a tenant, each at most once by its id.

    Never refused for quota; an event from the future or older than the limit is rejected by itself. Everything that
    is reported as accepted is committed. Raises TenantMismatchError for another tenant's slug, TenantNotFoundError.
    """
    tenant = await metered_tenant(ctx, tenant_slug)
    now = ctx.runtime.clock.now()
    outcomes: list[EventOutcome | None] = []
    rows: list[Row] = []
    for event in events:
        at = event.at or now
        refusal = _untimely(ctx.runtime, at, now)
        outcomes.append(EventOutcome(event.id, "rejected", refusal) if refusal else None)
        if not refusal:
            rows.append(_row(ctx.runtime, tenant, event, min(at, now), now))
    new = await ctx.runtime.coalescer(INGESTS).ask(rows, len(rows)) if rows else set()
    return _report(events, outcomes, new)


def _untimely(runtime: Runtime, at: datetime, now: datetime) -> str | None:
    settings = runtime.settings
    if at > now + timedelta(seconds=settings.usage_future_seconds):
        return f"at lies in the future: it is {now.isoformat()} here; set the device's clock"
    if at < now - timedelta(days=settings.usage_past_days):
        return f"at is more than {settings.usage_past_days} days ago; send events sooner"
    return None


def _row(runtime: Runtime, tenant: MeteredTenant, event: UsageEvent, at: datetime, now: datetime) -> Row:
    return {
        "tenant_id": tenant.tenant_id,
        "event_id": event.id,
        "device_id": tenant.device_id,
        "kind": event.kind,
        "quantity": event.quantity,
        "at": at.astimezone(UTC).strftime(STORED_MOMENT),
        "day": at.astimezone(runtime.zone).date().isoformat(),
        "metadata": None if event.metadata is None else orjson.dumps(event.metadata).decode(),
        "received_at": now.strftime(STORED_MOMENT),
    }


def _report(events: Sequence[UsageEvent], outcomes: list[EventOutcome | None], new: set[str]) -> IngestReport:
    """The first event with a new id is the accepted one, later ones in the same request repeat it."""
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    answered: list[EventOutcome] = []
    fresh = set(new)
    for event, refused in zip(events, outcomes, strict=True):
        outcome = refused or EventOutcome(event.id, "accepted" if event.id in fresh else "duplicate")
        if refused is None:
            fresh.discard(event.id)
        counts[outcome.status] += 1
        answered.append(outcome)
    for status, count in counts.items():
        if count:
            metrics.usage_events.labels(status).inc(count)
    return IngestReport(**counts, events=answered)


async def _store(runtime: Runtime, requests: Sequence[Sequence[Row]]) -> list[set[str]]:
    """Store the events of several requests with one statement; answers each request's ids that were new.

    An id that two requests of the batch bring goes to the first of them.
    """
    distinct: dict[tuple[int, str], Row] = {}
    owner: dict[tuple[int, str], int] = {}
    for index, rows in enumerate(requests):
        for row in rows:
            key = (row["tenant_id"], row["event_id"])
            if key not in distinct:
                distinct[key] = row
                owner[key] = index
    async with runtime.db.write_alone() as conn:
        stored = await conn.rows(usage.insert_usage_events, batch=as_batch(list(distinct.values())))
    new: list[set[str]] = [set() for _ in requests]
    for fresh in stored:
        new[owner[fresh.tenant_id, fresh.event_id]].add(fresh.event_id)
    return new


# One lane: two batches of one worker would wait for each other's daily sums.
INGESTS = Coalesced("usage_events", _store, lanes=1, queue_size="usage_queue_events")
