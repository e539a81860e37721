"""Voiding usage events: a wrong one leaves the sums and stays in sight, and only its first voiding counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.errors import VoidingNotPermittedError
from app.events import Event, EventType, record
from app.services.directory.lookup import Tenant, keep_tenant
from app.services.usage.access import metered_tenant
from sql.statements import usage

MAX_VOIDED = 1000
# So many ids stand in one event of the trail.
IDS_TOLD_AT_ONCE = 100
# Who belongs to the tenant, and needs the plan's leave.
_OWN = {"device", "tenant"}

Status = Literal["voided", "already_voided", "refused", "unknown"]
OWN_EVENT = "the portal has counted this run itself; only an operator may void it"


@dataclass(frozen=True, slots=True)
class VoidOutcome:
    """What became of one event; ``detail`` says why it was refused."""

    id: str
    status: Status
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class VoidReport:
    """The outcome for each id of a request, in their order and once each, and how many had which outcome."""

    voided: int
    already_voided: int
    refused: int
    unknown: int
    events: list[VoidOutcome]


class _Leave(NamedTuple):
    """What the current plan says; there is none without a subscription."""

    tenant_may_void: bool


class _Voided(NamedTuple):
    event_id: str
    kind: str
    quantity: int


class _Known(NamedTuple):
    event_id: str
    kind: str
    quantity: int
    voided_at: datetime | None


async def void_events(ctx: Context, tenant_slug: str, event_ids: Sequence[str]) -> VoidReport:
    """Take events out of the tenant's sums, in the transaction in which the trail says who did it.

    What is voided already stays as it is, whoever asks at the same moment. Raises VoidingNotPermittedError for a device
    or a session whose plan does not permit it, TenantMismatchError, TenantNotFoundError.
    """
    tenant_id = (await metered_tenant(ctx, tenant_slug)).tenant_id
    is_operator = ctx.actor.type not in _OWN
    wanted = as_batch([{"event_id": event_id} for event_id in dict.fromkeys(event_ids)])
    async with ctx.write() as conn:
        tenant = await keep_tenant(conn, tenant_slug)
        if not is_operator:
            leave = await conn.maybe(usage.leave_to_void, _Leave, tenant_id=tenant_id)
            if leave is None or not leave.tenant_may_void:
                raise VoidingNotPermittedError
        voided = await conn.many(
            usage.void_events,
            _Voided,
            of_tenant_id=tenant_id,
            batch=wanted,
            is_operator=is_operator,
            now=ctx.now(),
            by=ctx.actor.name,
        )
        known = await conn.many(usage.events_by_id, _Known, tenant_id=tenant_id, batch=wanted)
        await _record(conn, ctx, tenant, voided)
    return _report(event_ids, {event.event_id for event in voided}, known)


async def _record(conn: WriteConnection, ctx: Context, tenant: Tenant, voided: Sequence[_Voided]) -> None:
    told = []
    ordered = sorted(voided)
    for start in range(0, len(ordered), IDS_TOLD_AT_ONCE):
        some = ordered[start : start + IDS_TOLD_AT_ONCE]
        quantities: Counter[str] = Counter()
        for event in some:
            quantities[event.kind] += event.quantity
        metadata = {"slug": tenant.slug, "ids": [event.event_id for event in some], "quantities": quantities}
        title = f"{len(some)} usage event{'s' if len(some) > 1 else ''} of {tenant.name} voided"
        told.append(Event(EventType.USAGE_VOIDED, title, tenant_id=tenant.id, metadata=metadata))
    if told:
        await record(conn, ctx, *told)


def _report(event_ids: Sequence[str], voided: set[str], known: Sequence[_Known]) -> VoidReport:
    stored = {event.event_id: event for event in known}
    counts = dict.fromkeys(get_args(Status), 0)
    outcomes = []
    for event_id in dict.fromkeys(event_ids):
        status: Status = "voided"
        if event_id not in voided:
            event = stored.get(event_id)
            status = "unknown" if event is None else "refused" if event.voided_at is None else "already_voided"
        counts[status] += 1
        outcomes.append(VoidOutcome(event_id, status, OWN_EVENT if status == "refused" else None))
    return VoidReport(**counts, events=outcomes)
