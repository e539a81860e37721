"""Metered usage: a request's events in one insert, each counted once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from sqlalchemy.orm import joinedload

from app.errors import TenantMismatchError
from bench.orm_design.database import Session, runtime
from bench.orm_design.licensing import asking_device
from bench.orm_design.messages import Event, Events, Outcome, Report
from bench.orm_design.models import Device, UsageEvent
from sql.dialect import insert

router = APIRouter(prefix="/usage")

new_events = (
    insert(UsageEvent)
    .on_conflict_do_nothing(index_elements=[UsageEvent.tenant_id, UsageEvent.event_id])
    .returning(UsageEvent.event_id)
)


@router.post("/{tenant_slug}/events")
async def ingest(
    tenant_slug: str,
    body: Events,
    session: Session,
    device: Annotated[Device, Depends(asking_device(joinedload(Device.tenant)))],
) -> Report:
    """Store the events of a device's tenant, each at most once by its id."""
    if device.tenant.slug != tenant_slug:
        raise TenantMismatchError
    now = runtime.clock.now()
    refused = [_untimely(event.at or now, now) for event in body.events]
    rows = {
        event.id: _row(event, device, now)
        for event, refusal in zip(reversed(body.events), reversed(refused), strict=True)
        if refusal is None
    }
    stored: set[str] = set()
    if rows:
        stored = set((await session.scalars(new_events, list(rows.values()))).all())
        await session.commit()
    return _report(body.events, refused, stored)


def _untimely(at: datetime, now: datetime) -> str | None:
    if at > now + timedelta(seconds=runtime.settings.usage_future_seconds):
        return f"at lies in the future: it is {now.isoformat()} here; set the device's clock"
    if at < now - timedelta(days=runtime.settings.usage_past_days):
        return f"at is more than {runtime.settings.usage_past_days} days ago; send events sooner"
    return None


def _row(event: Event, device: Device, now: datetime) -> dict[str, Any]:
    at = min(event.at or now, now)
    return {
        "tenant_id": device.tenant_id,
        "event_id": event.id,
        "device_id": device.id,
        "kind": event.kind,
        "quantity": event.quantity,
        "at": at.astimezone(UTC),
        "day": at.astimezone(runtime.zone).date(),
        "details": None if event.metadata is None else orjson.dumps(event.metadata).decode(),
        "received_at": now,
    }


def _report(events: list[Event], refused: list[str | None], stored: set[str]) -> Report:
    report = Report(accepted=0, duplicate=0, rejected=0, events=[])
    for event, refusal in zip(events, refused, strict=True):
        if refusal is not None:
            report.rejected += 1
            report.events.append(Outcome(id=event.id, status="rejected", detail=refusal))
        elif event.id in stored:
            stored.discard(event.id)
            report.accepted += 1
            report.events.append(Outcome(id=event.id, status="accepted"))
        else:
            report.duplicate += 1
            report.events.append(Outcome(id=event.id, status="duplicate"))
    return report
