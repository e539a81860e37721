"""Pages of the devices of one or all tenants, for operators."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, literal, or_, select

from sql.counting import PAGE_SIZE, SKIP, bounded_count, page_with_total, total_of
from sql.hidden import is_shown, tenant_is_shown
from sql.matching import (
    any_of,
    contains_pattern,
    is_behind_id,
    is_of_tenant_named,
    named_tenant_matches,
    page_ids,
    tenants_matching,
)
from sql.scope import across_tenants
from sql.tables import devices, tenants

_REASON = "operators see the devices of all tenants"

device_details = (
    devices.c.id,
    tenants.c.name.label("tenant"),
    tenants.c.slug.label("tenant_slug"),
    devices.c.label,
    devices.c.hw_fingerprint,
    devices.c.last_seen,
    devices.c.created_at,
    devices.c.is_revoked,
    devices.c.seat_held.label("has_seat"),
    devices.c.clone_count,
)


def device_page(
    is_of_tenant: bool, is_searched: bool, is_by_last_seen: bool, is_after_cursor: bool = False
) -> Select[Any]:
    """A page of devices with their total; the total is 0 where the caller has counted already.

    They are ordered by when they were last seen, or newest first, which alone has cursors. A search compares each
    device while the page is read.
    """
    order: tuple[ColumnElement[Any], ...] = (devices.c.id.desc(),)
    if is_by_last_seen:
        order = (devices.c.last_seen.desc(), *order)
    matches = _devices(is_of_tenant, is_searched)
    stored_total = literal(0) if is_searched else total_of("devices_created")
    rows = matches.where(is_behind_id(devices)) if is_after_cursor else matches
    page = rows.order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = page_with_total(bounded_count(matches) if is_of_tenant else stored_total, page)
    statement = (
        select(total, *device_details)
        .select_from(source)
        .outerjoin(devices, devices.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == devices.c.tenant_id)
        .order_by(*order)
    )
    return across_tenants(statement, _REASON)


# The devices whose ids a search has returned.
devices_by_ids = across_tenants(
    select(literal(0).label("total"), *device_details)
    .select_from(page_ids)
    .join(devices, devices.c.id == page_ids.c.id)
    .join(tenants, tenants.c.id == devices.c.tenant_id)
    .where(tenant_is_shown)
    .order_by(devices.c.id.desc()),
    _REASON,
)


_all_devices = select(devices.c.id).where(is_shown(devices))
_has_fingerprint = and_(
    devices.c.hw_fingerprint >= bindparam("fingerprint_from"), devices.c.hw_fingerprint < bindparam("fingerprint_to")
)


def devices_matching(is_after_cursor: bool) -> Select[Any]:
    """The devices whose label, fingerprint or tenant's name matches a search, as a page of ``ids_with_total``."""
    searches = [
        _all_devices.where(contains_pattern(devices.c.folded_label)),
        _all_devices.where(_has_fingerprint),
        _all_devices.join(tenants, tenants.c.id == devices.c.tenant_id).where(contains_pattern(tenants.c.folded_name)),
    ]
    return across_tenants(any_of(searches, is_after_cursor=is_after_cursor), _REASON)


slug_of_device = across_tenants(
    select(tenants.c.slug)
    .join(devices, devices.c.tenant_id == tenants.c.id)
    .where(devices.c.id == bindparam("device_id"), tenant_is_shown),
    "an operator names a device by its id alone",
)


def _devices(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    matches = select(devices.c.id)
    matches = matches.where(is_of_tenant_named(devices) if is_of_tenant else is_shown(devices))
    if is_searched:
        owned = named_tenant_matches() if is_of_tenant else devices.c.tenant_id.in_(tenants_matching())
        matches = matches.where(or_(contains_pattern(devices.c.folded_label), _has_fingerprint, owned))
    return matches


device_of_tenant = (
    select(*device_details)
    .join(tenants, tenants.c.id == devices.c.tenant_id)
    .where(devices.c.tenant_id == bindparam("tenant_id"), devices.c.id == bindparam("device_id"), tenant_is_shown)
)
