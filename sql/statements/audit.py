"""The sealed chain of the audit trail: adding to it, and walking it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, bindparam, func, select, true, tuple_

from sql.dialect import batch_rows, events_horizon, insert
from sql.scope import across_tenants
from sql.tables import audit_seals, platform_events
from sql.tables.columns import Instant

# What a seal covers, in this order. Not the transaction's number, which another server would hand out anew.
_sealed: tuple[ColumnElement[Any], ...] = (
    platform_events.c.id,
    platform_events.c.event_type,
    platform_events.c.severity,
    platform_events.c.title,
    platform_events.c.actor_type,
    platform_events.c.actor_name,
    platform_events.c.actor_id,
    platform_events.c.tenant_id,
    platform_events.c.code_id,
    platform_events.c.device_id,
    platform_events.c.project_id,
    platform_events.c.metadata,
    platform_events.c.request_id,
    platform_events.c.created_at,
)
_place = tuple_(platform_events.c.xid, platform_events.c.id)
_after = tuple_(bindparam("after_xid"), bindparam("after_id"))

_has_seal = select(audit_seals.c.event_id).where(audit_seals.c.event_id == platform_events.c.id).exists()

last_seal = select(audit_seals.c.position, audit_seals.c.seal).order_by(audit_seals.c.position.desc()).limit(1)

# Of the last seal whose event is still there.
last_sealed_place = across_tenants(
    select(platform_events.c.xid, platform_events.c.id)
    .select_from(audit_seals)
    .join(platform_events, platform_events.c.id == audit_seals.c.event_id)
    .order_by(audit_seals.c.position.desc())
    .limit(1),
    "one chain seals the events of all tenants",
)

events_to_seal = across_tenants(
    select(platform_events.c.xid, *_sealed)
    # An event that was moved behind the end of the chain has its seal already.
    .where(_place > _after, platform_events.c.xid < events_horizon(), ~_has_seal)
    .order_by(platform_events.c.xid, platform_events.c.id)
    .limit(bindparam("page_size")),
    "one chain seals the events of all tenants",
)

_sealing = batch_rows(position=BigInteger, event_id=BigInteger, seal=LargeBinary, sealed_at=Instant)

# The position is the guard: where another sealer was quicker, fewer rows are answered than were given.
add_seals = (
    insert(audit_seals)
    .from_select(list(_sealing.c.keys()), select(_sealing).where(true()).order_by(_sealing.c.position))
    .on_conflict_do_nothing()
    .returning(audit_seals.c.position)
)

# The chain in its order, with what its events are now; the event's columns are null where it is gone.
sealed_events = across_tenants(
    select(audit_seals.c.position, audit_seals.c.event_id, audit_seals.c.seal, platform_events.c.xid, *_sealed)
    .select_from(audit_seals)
    .outerjoin(platform_events, platform_events.c.id == audit_seals.c.event_id)
    .where(audit_seals.c.position > bindparam("after_position"))
    .order_by(audit_seals.c.position)
    .limit(bindparam("page_size")),
    "the chain's proof walks the events of all tenants",
)

first_unsealed_before = across_tenants(
    select(platform_events.c.id)
    .where(_place <= _after, ~_has_seal)
    .order_by(platform_events.c.xid, platform_events.c.id)
    .limit(1),
    "the chain's proof looks for events of any tenant that were slipped in",
)

unsealed_after = across_tenants(
    select(func.count().label("events")).select_from(platform_events).where(_place > _after),
    "the chain's proof counts what waits for its seal",
)
