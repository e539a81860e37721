"""The chain of seals over the audit trail: extending it and verifying it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, bindparam, func, select, true, tuple_

from sql.dialect import batch_rows, events_horizon, insert
from sql.scope import across_tenants
from sql.tables import audit_seals, platform_events
from sql.tables.columns import Instant

# The columns that a seal covers, in this order. The transaction id is not among them, because it changes when the
# database moves to another server.
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

# The position in the trail of the last sealed event that still exists.
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
    # An event that somebody moved behind the end of the chain has its seal already.
    .where(_place > _after, platform_events.c.xid < events_horizon(), ~_has_seal)
    .order_by(platform_events.c.xid, platform_events.c.id)
    .limit(bindparam("page_size")),
    "one chain seals the events of all tenants",
)

_new_seals = batch_rows(position=BigInteger, event_id=BigInteger, seal=LargeBinary, sealed_at=Instant)

# The primary key on position prevents a fork of the chain: where another process was faster, fewer rows are returned
# than the batch has.
add_seals = (
    insert(audit_seals)
    .from_select(list(_new_seals.c.keys()), select(_new_seals).where(true()).order_by(_new_seals.c.position))
    .on_conflict_do_nothing()
    .returning(audit_seals.c.position)
)

# The seals in their order, each with its event as it is now; the event's columns are null if it no longer exists.
sealed_events = across_tenants(
    select(audit_seals.c.position, audit_seals.c.event_id, audit_seals.c.seal, platform_events.c.xid, *_sealed)
    .select_from(audit_seals)
    .outerjoin(platform_events, platform_events.c.id == audit_seals.c.event_id)
    .where(audit_seals.c.position > bindparam("after_position"))
    .order_by(audit_seals.c.position)
    .limit(bindparam("page_size")),
    "the verification reads the events of all tenants",
)

first_unsealed_before = across_tenants(
    select(platform_events.c.id)
    .where(_place <= _after, ~_has_seal)
    .order_by(platform_events.c.xid, platform_events.c.id)
    .limit(1),
    "the verification looks for inserted events of any tenant",
)

unsealed_after = across_tenants(
    select(func.count().label("events")).select_from(platform_events).where(_place > _after),
    "the verification counts the events of all tenants that have no seal yet",
)
