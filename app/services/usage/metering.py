"""Metering: usage events in, each counted once however often it is sent, acknowledged once it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, get_args

import orjson
from sqlalchemy.exc import IntegrityError

from app.calendar import day_of
from app.context import Context
from app.database.connections import as_batch
from app.database.failures import violated_constraint
from app.errors import DatabaseConflictError, EventsRejectedError, UnavailableError
from app.runtime import Coalesced, Runtime
from app.services.usage.access import metered_tenant
from app.telemetry import metrics
from sql.statements import usage
from sql.sums import MAX_DAY_QUANTITY

MAX_EVENTS = 1000
# An event of one kind and day may fill it while another one is being fitted in.
ATTEMPTS: Final = 3
Status = Literal["accepted", "duplicate", "differing", "rejected"]
COUNTED = {status: metrics.usage_events.labels(status) for status in get_args(Status)}


DIFFERS = "this id was reported before with another kind or quantity, which counts; another event needs another id"
VOIDED = "this event was voided and counts nothing; report what was meant under another id"


class UsageEvent(NamedTuple):
    """What a device reports; ``at`` None means now, ``metadata`` is kept as it is."""

    id: str
    kind: str
    quantity: int
    at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What an event counts: its kind and its quantity."""

    kind: str
    quantity: int


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of one event.

    Its id was new (``accepted``), or known with the same kind and quantity (``duplicate``) or with others
    (``differing``): then ``stored`` counts, and ``sent`` does not. ``detail`` says why one was rejected or does not
    count.
    """

    id: str
    status: Status
    detail: str | None = None
    stored: Counted | None = None
    sent: Counted | None = None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The outcome of each event of a request, in their order, and how many events had which outcome."""

    accepted: int
    duplicate: int
    differing: int
    rejected: int
    events: list[EventOutcome]


class _StoredEvent(NamedTuple):
    """An event as it was first reported."""

    event_id: str
    kind: str
    quantity: int
    voided_at: datetime | None


class _Day(NamedTuple):
    """What a day has of a kind so far."""

    day: date
    kind: str
    quantity: int


class Stored(NamedTuple):
    """Which events of a request were new, and which would have taken a day beyond what it holds."""

    new_ids: set[str]
    beyond: set[str]


class Batch(NamedTuple):
    """The events of one request, as they are to be stored, and who reports them."""

    tenant_id: int
    tenant_slug: str
    device_id: int | None
    received_at: datetime
    rows: list[dict[str, Any]]


async def ingest(ctx: Context, tenant_slug: str, events: Sequence[UsageEvent]) -> IngestReport:
    """Store the events of a tenant, each at most once by its id.

    Never refused for quota; an event is rejected by itself where it is from the future or older than the limit, or
    would take its day beyond MAX_DAY_QUANTITY. What is reported as accepted is committed. Raises EventsRejectedError
    where every event was rejected, DatabaseConflictError, DeviceUnknownError, DeviceAccessRevokedError or
    TenantMismatchError for another tenant's slug, TenantNotFoundError.
    """
    device_id: int | None = None
    if ctx.actor.type == "device":
        # The insert itself checks whether the device may report: one statement instead of two.
        tenant_id, device_id = ctx.device
    else:
        tenant_id = (await metered_tenant(ctx, tenant_slug)).tenant_id
    now = ctx.now()
    earliest = now - timedelta(days=ctx.runtime.settings.usage_past_days)
    latest = now + timedelta(seconds=ctx.runtime.settings.usage_future_seconds)
    rejected: dict[int, EventOutcome] = {}
    rows: list[dict[str, Any]] = []
    for place, event in enumerate(events):
        at = event.at or now
        if earliest <= at <= latest:
            rows.append(_row(ctx.runtime, event, min(at, now)))
        else:
            rejected[place] = EventOutcome(event.id, "rejected", _untimely(ctx.runtime, at, now))
    batch = Batch(tenant_id, tenant_slug, device_id, now, rows)
    stored = await ctx.runtime.coalescer(INGESTS).ask(batch, len(rows)) if rows else Stored(set(), set())
    new_ids = stored.new_ids
    if not new_ids:
        # Repeated or rejected events, or a device that may not report any: only now it is worth a question. Where one
        # event is stored, the device may; and no outage after the commit must be answered instead of the report.
        await metered_tenant(ctx, tenant_slug)
    known = await _known(ctx, tenant_id, rows, new_ids)
    for place, event in enumerate(events):
        if event.id in stored.beyond:
            rejected.setdefault(place, EventOutcome(event.id, "rejected", _beyond(event)))
    report = _report(events, rejected, new_ids, known)
    if report.rejected == len(events):
        raise EventsRejectedError(reason=report.events[0].detail, **asdict(report))
    return report


async def _known(
    ctx: Context, tenant_id: int, rows: Sequence[Mapping[str, Any]], new_ids: set[str]
) -> Mapping[str, _StoredEvent]:
    """What is stored of the events: the new ones as they came first, and of the others what the database says.

    Where some are stored, no outage may keep that from being reported: then what differs is told the next time.
    """
    known: dict[str, _StoredEvent] = {}
    for row in rows:
        if (event_id := str(row["event_id"])) in new_ids:
            known.setdefault(event_id, _StoredEvent(event_id, row["kind"], row["quantity"], None))
    others = sorted({str(row["event_id"]) for row in rows} - new_ids)
    if not others:
        return known
    ids = as_batch([{"event_id": event_id} for event_id in others])
    try:
        async with ctx.read() as conn:
            stored = await conn.many(usage.events_by_id, _StoredEvent, tenant_id=tenant_id, batch=ids)
    except UnavailableError:
        if not new_ids:
            raise
        return known
    return known | {event.event_id: event for event in stored}


def _untimely(runtime: Runtime, at: datetime, now: datetime) -> str:
    if at > now:
        return f"at lies in the future: it is {now.isoformat()} here; set the device's clock"
    return f"at is more than {runtime.settings.usage_past_days} days ago; send events sooner"


def _beyond(event: UsageEvent) -> str:
    return (
        f"the day would come to more than {MAX_DAY_QUANTITY} of {event.kind}; report less, or have wrong events voided"
    )


def _row(runtime: Runtime, event: UsageEvent, at: datetime) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "kind": event.kind,
        "quantity": event.quantity,
        "at": at.astimezone(UTC),
        "day": day_of(at, runtime.zone),
        "metadata": None if event.metadata is None else orjson.dumps(event.metadata).decode(),
    }


def _report(
    events: Sequence[UsageEvent],
    rejected: Mapping[int, EventOutcome],
    new_ids: set[str],
    known: Mapping[str, _StoredEvent],
) -> IngestReport:
    """The first event with a new id is the accepted one, later ones in the same request repeat it."""
    counts = dict.fromkeys(COUNTED, 0)
    outcomes: list[EventOutcome] = []
    unreported_ids = set(new_ids)
    for place, event in enumerate(events):
        if (outcome := rejected.get(place)) is None:
            is_new = event.id in unreported_ids
            outcome = EventOutcome(event.id, "accepted") if is_new else _compared(event, known.get(event.id))
            unreported_ids.discard(event.id)
        counts[outcome.status] += 1
        outcomes.append(outcome)
    for status, count in counts.items():
        if count:
            COUNTED[status].inc(count)
    return IngestReport(**counts, events=outcomes)


def _compared(event: UsageEvent, stored: _StoredEvent | None) -> EventOutcome:
    """What to say of an event whose id was known; an old one may have been removed in between."""
    if stored is None:
        return EventOutcome(event.id, "duplicate")
    detail = VOIDED if stored.voided_at else None
    counted, sent = Counted(stored.kind, stored.quantity), Counted(event.kind, event.quantity)
    if counted == sent:
        return EventOutcome(event.id, "duplicate", detail)
    return EventOutcome(event.id, "differing", detail or DIFFERS, counted, sent)


async def _store(runtime: Runtime, batches: Sequence[Batch]) -> list[Stored]:
    """Store the events of several requests, with one statement unless one of them has too much for a day."""
    try:
        return [Stored(new_ids, set()) for new_ids in await _insert(runtime, batches)]
    except IntegrityError as failure:
        violated = violated_constraint(failure)
        # Of several requests each is tried alone then.
        if len(batches) > 1 or violated not in {usage.DAY_IS_FULL, *usage.TENANT_IS_GONE}:
            raise
    if violated in usage.TENANT_IS_GONE:
        return [Stored(set(), set())]
    return [await _store_what_fits(runtime, batches[0])]


async def _store_what_fits(runtime: Runtime, batch: Batch) -> Stored:
    """Store those events of a request for which their days have room; the database keeps what it holds itself."""
    for _ in range(ATTEMPTS):
        rows, beyond = await _fitting(runtime, batch)
        try:
            (new_ids,) = await _insert(runtime, [batch._replace(rows=rows)]) if rows else (set(),)
        except IntegrityError as failure:
            if violated_constraint(failure) != usage.DAY_IS_FULL:
                raise
        else:
            return Stored(new_ids, beyond)
    raise DatabaseConflictError


async def _fitting(runtime: Runtime, batch: Batch) -> tuple[list[dict[str, Any]], set[str]]:
    """The events that fit into their days, known ones among them, and the ids of the others."""
    wanted = {(row["day"], row["kind"]) for row in batch.rows}
    days = as_batch([{"day": day, "kind": kind} for day, kind in sorted(wanted)])
    ids = as_batch([{"event_id": event_id} for event_id in sorted({row["event_id"] for row in batch.rows})])
    async with runtime.db.read() as conn:
        sums = await conn.many(usage.sums_of_days, _Day, tenant_id=batch.tenant_id, batch=days)
        stored = await conn.many(usage.events_by_id, _StoredEvent, tenant_id=batch.tenant_id, batch=ids)
    used = {(day, kind): quantity for day, kind, quantity in sums}
    counted, beyond = {event.event_id for event in stored}, set[str]()
    for row in batch.rows:
        event_id, place = row["event_id"], (row["day"], row["kind"])
        if event_id in counted or event_id in beyond:
            continue
        if (quantity := used.get(place, 0) + row["quantity"]) > MAX_DAY_QUANTITY:
            beyond.add(event_id)
        else:
            used[place] = quantity
            counted.add(event_id)
    return [row for row in batch.rows if row["event_id"] not in beyond], beyond


async def _insert(runtime: Runtime, batches: Sequence[Batch]) -> list[set[str]]:
    """Store the events of several requests with one statement; answers for each request which ids were new.

    An id that two requests of one device report is new to the first of them.
    """
    requests = [
        {
            "tenant_id": batch.tenant_id,
            "tenant_slug": batch.tenant_slug,
            "device_id": batch.device_id,
            "received_at": batch.received_at,
            "events": batch.rows,
        }
        for batch in batches
    ]
    async with runtime.db.write_autocommit() as conn:
        rows = await conn.rows(usage.insert_usage_events, batch=as_batch(requests))
    unassigned = {tuple(row) for row in rows}
    new_ids: list[set[str]] = []
    for batch in batches:
        own = {(batch.tenant_id, batch.device_id, row["event_id"]) for row in batch.rows} & unassigned
        unassigned -= own
        new_ids.append({event_id for _, _, event_id in own})
    return new_ids


# One lane: two batches of one worker would wait for each other's daily sums.
INGESTS = Coalesced(
    "usage_events", _store, lanes=1, queue_size="usage_queue_events", owner=lambda batch: batch.tenant_id
)
