"""Seats of devices that give no sign of life any more."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, and_, bindparam, exists, false, not_, select, update

from sql.hidden import tenant_is_shown
from sql.scope import across_tenants
from sql.tables import devices, plans, refresh_families, subscriptions, tenants

plans_with_idle_days = (
    select(plans.c.id, plans.c.device_idle_days).where(plans.c.device_idle_days.is_not(None)).order_by(plans.c.id)
)

# A heartbeat, an activation and a refresh are signs of life; a refresh writes only its family.
_has_refreshed = exists().where(
    refresh_families.c.tenant_id == devices.c.tenant_id,
    refresh_families.c.device_id == devices.c.id,
    refresh_families.c.rotated_at >= bindparam("seen_since"),
)
_is_idle = and_(
    devices.c.seat_held, devices.c.last_seen < bindparam("seen_since"), not_(_has_refreshed.correlate(devices))
)

tenants_with_idle_devices = across_tenants(
    select(tenants.c.id, tenants.c.slug)
    .join(subscriptions, subscriptions.c.tenant_id == tenants.c.id)
    .where(
        subscriptions.c.plan_id == bindparam("plan_id"),
        subscriptions.c.ended_at.is_(None),
        tenants.c.id > bindparam("after_id", type_=BigInteger),
        tenant_is_shown,
        exists().where(devices.c.tenant_id == tenants.c.id, _is_idle).correlate(tenants),
    )
    .order_by(tenants.c.id)
    .limit(bindparam("page_size", type_=Integer)),
    "a schedule frees the seats of all tenants",
)

_batch = (
    select(devices.c.id)
    .where(devices.c.tenant_id == bindparam("of_tenant_id"), _is_idle)
    .order_by(devices.c.id)
    .limit(bindparam("batch_size", type_=Integer))
    .with_for_update(of=devices)
)

# Returns the devices that held a seat until now.
free_idle_devices = (
    update(devices)
    .where(devices.c.tenant_id == bindparam("of_tenant_id"), devices.c.id.in_(_batch), devices.c.seat_held)
    .values(seat_held=false())
    .returning(devices.c.id)
)

free_seats = (
    update(subscriptions)
    .where(subscriptions.c.tenant_id == bindparam("of_tenant_id"), subscriptions.c.ended_at.is_(None))
    .values(seats_used=subscriptions.c.seats_used - bindparam("freed", type_=Integer))
)
