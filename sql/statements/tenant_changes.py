"""Changing tenants, and deleting them with everything that belongs to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, ColumnElement, ScalarSelect, Table, bindparam, delete, func, not_, or_, select, true, update

from sql.tables import (
    activation_codes,
    deliveries,
    devices,
    refresh_families,
    run_changes,
    subscriptions,
    tenant_sessions,
    tenants,
    usage_events,
    usage_rollups,
)

_profile = select(
    tenants.c.id,
    tenants.c.slug,
    tenants.c.name,
    tenants.c.logo_url,
    tenants.c.primary_color,
    tenants.c.domain,
    tenants.c.email,
    tenants.c.phone_number,
).with_for_update(key_share=True)

profile_by_slug_locked = _profile.where(tenants.c.slug == bindparam("tenant_slug"))

profile_by_id_locked = _profile.where(tenants.c.id == bindparam("tenant_id"))

# Sets the columns that are passed as parameters.
set_tenant = update(tenants).where(tenants.c.id == bindparam("of_id"))


def _number(table: Table, *conditions: Any) -> ScalarSelect[int]:
    count = select(func.count()).select_from(table).where(table.c.tenant_id == bindparam("tenant_id"), *conditions)
    return count.scalar_subquery()


_can_be_used = (
    activation_codes.c.revoked_at.is_(None),
    or_(activation_codes.c.expires_at.is_(None), activation_codes.c.expires_at > bindparam("now")),
    activation_codes.c.use_count < activation_codes.c.max_uses,
)

deletion_impact = select(
    _number(activation_codes).label("codes"),
    _number(activation_codes, *_can_be_used).label("active_codes"),
    _number(activation_codes, activation_codes.c.revoked_at.is_not(None)).label("revoked_codes"),
    _number(devices).label("devices"),
    _number(devices, devices.c.is_revoked).label("revoked_devices"),
    _number(subscriptions).label("subscriptions"),
    _number(usage_events).label("usage_events"),
    _number(usage_rollups).label("usage_rollups"),
    _number(tenant_sessions).label("sessions"),
)


def _locked(table: Table, is_open: ColumnElement[bool]) -> CTE:
    """The tenant's rows that other transactions may be changing, locked in the order in which batches lock them."""
    rows = select(table.c.tenant_id, table.c.id).where(table.c.tenant_id == bindparam("of_tenant_id"), is_open)
    return rows.order_by(table.c.id).with_for_update().cte("locked")


_open_codes = _locked(activation_codes, activation_codes.c.revoked_at.is_(None))
_active_devices = _locked(devices, not_(devices.c.is_revoked))

# Codes come before devices, as in an activation: a deletion waits for a running activation and never deadlocks.
revoke_codes_of_tenant = (
    update(activation_codes)
    .where(activation_codes.c.tenant_id == _open_codes.c.tenant_id, activation_codes.c.id == _open_codes.c.id)
    .values(revoked_at=bindparam("now"))
)

revoke_devices_of_tenant = (
    update(devices)
    .where(devices.c.tenant_id == _active_devices.c.tenant_id, devices.c.id == _active_devices.c.id)
    .values(is_revoked=true())
)

delete_subscriptions = delete(subscriptions).where(subscriptions.c.tenant_id == bindparam("of_tenant_id"))

delete_refresh_families = delete(refresh_families).where(refresh_families.c.tenant_id == bindparam("of_tenant_id"))

delete_devices = delete(devices).where(devices.c.tenant_id == bindparam("of_tenant_id"))

delete_codes = delete(activation_codes).where(activation_codes.c.tenant_id == bindparam("of_tenant_id"))

delete_run_changes = delete(run_changes).where(run_changes.c.tenant_id == bindparam("of_tenant_id"))

delete_deliveries = delete(deliveries).where(deliveries.c.tenant_slug == bindparam("of_slug"))

# ON DELETE CASCADE removes usage, sessions and the open challenge, in the database's own order, after it has waited for
# every transaction that still writes them.
delete_tenant = delete(tenants).where(tenants.c.id == bindparam("of_id"))
