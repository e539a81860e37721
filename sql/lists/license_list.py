"""Pages of the codes and the devices of all tenants, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    union,
)

from sql.counting import MAX_COUNTED, PAGE_SIZE, SKIP, bounded_count, ids_with_total, page_with_total, total_of
from sql.dialect import batch_rows
from sql.scope import across_tenants
from sql.tables import activation_codes, devices, tenants

_REASON = "operators see the codes and devices of all tenants"

code_status = case(
    (activation_codes.c.revoked_at.is_not(None), "revoked"),
    (activation_codes.c.expires_at <= bindparam("now"), "expired"),
    (activation_codes.c.use_count >= activation_codes.c.max_uses, "used"),
    else_="active",
)


def _is_of_tenant(table: Table) -> ColumnElement[bool]:
    tenant_id = select(tenants.c.id).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery()
    return and_(table.c.tenant_id == tenant_id)


def _tenants_matching() -> Select[Any]:
    return select(tenants.c.id).where(_contains(tenants.c.name))


def _contains(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.lower(column).like(func.lower(bindparam("pattern")), escape="\\")


def _any_of(searches: Sequence[Select[Any]]) -> Select[Any]:
    """A page of the ids that any of the searches matches, newest first.

    A union instead of one OR, so that each search uses its own index; each stops above the bound of the count.
    """
    limited = [search.limit(MAX_COUNTED + 1).subquery() for search in searches]
    matches = union(*(select(search.c.id) for search in limited)).subquery("matches")
    return ids_with_total(select(matches.c.id), lambda rows: [rows.c.id.desc()])


_page_ids = batch_rows(id=BigInteger)

_code_details = (
    activation_codes.c.id,
    activation_codes.c.hint,
    tenants.c.name.label("tenant"),
    tenants.c.slug.label("tenant_slug"),
    activation_codes.c.label,
    code_status.label("status"),
    activation_codes.c.expires_at,
    activation_codes.c.used_at,
    activation_codes.c.created_at,
    activation_codes.c.use_count,
    activation_codes.c.max_uses,
)

_device_details = (
    devices.c.id,
    tenants.c.name.label("tenant"),
    tenants.c.slug.label("tenant_slug"),
    devices.c.label,
    devices.c.hw_fingerprint,
    devices.c.last_seen,
    devices.c.created_at,
    devices.c.is_revoked,
)


def code_page(is_of_tenant: bool, search: str | None, has_status: bool) -> Select[Any]:
    """A page of codes, newest first, with their total; the total is 0 where the caller has counted already.

    ``search`` is ``way`` to compare each code while the page is read, ``code`` to look one whole code up, or None.
    """
    matches = _codes(is_of_tenant, search, has_status)
    is_counted_here = is_of_tenant or search == "code"
    stored_total = literal(0) if search or has_status else total_of("codes_created")
    page = matches.order_by(activation_codes.c.id.desc()).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = page_with_total(bounded_count(matches) if is_counted_here else stored_total, page)
    statement = (
        select(total, *_code_details)
        .select_from(source)
        .outerjoin(activation_codes, activation_codes.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == activation_codes.c.tenant_id)
        .order_by(activation_codes.c.id.desc())
    )
    return across_tenants(statement, _REASON)


# The codes whose ids a search has returned.
codes_by_ids = across_tenants(
    select(literal(0).label("total"), *_code_details)
    .select_from(_page_ids)
    .join(activation_codes, activation_codes.c.id == _page_ids.c.id)
    .join(tenants, tenants.c.id == activation_codes.c.tenant_id)
    .order_by(activation_codes.c.id.desc()),
    _REASON,
)


def codes_matching(has_status: bool) -> Select[Any]:
    """The codes whose label, hint or tenant's name matches a search, as a page of ``ids_with_total``."""
    codes = select(activation_codes.c.id)
    labelled = codes.where(_contains(activation_codes.c.label))
    hinted = codes.where(activation_codes.c.hint == bindparam("hint"))
    owned = codes.join(tenants, tenants.c.id == activation_codes.c.tenant_id).where(_contains(tenants.c.name))
    searches = [labelled, hinted, owned]
    if has_status:
        searches = [search.where(code_status == bindparam("status")) for search in searches]
    return across_tenants(_any_of(searches), _REASON)


def device_page(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    """A page of devices with their total; the total is 0 where the caller has counted already.

    A tenant's devices are ordered by when they were last seen, those of all tenants newest first. A search compares
    each device while the page is read.
    """
    order: tuple[ColumnElement[Any], ...] = (devices.c.id.desc(),)
    if is_of_tenant:
        order = (devices.c.last_seen.desc(), *order)
    matches = _devices(is_of_tenant, is_searched)
    stored_total = literal(0) if is_searched else total_of("devices_created")
    page = matches.order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = page_with_total(bounded_count(matches) if is_of_tenant else stored_total, page)
    statement = (
        select(total, *_device_details)
        .select_from(source)
        .outerjoin(devices, devices.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == devices.c.tenant_id)
        .order_by(*order)
    )
    return across_tenants(statement, _REASON)


# The devices whose ids a search has returned.
devices_by_ids = across_tenants(
    select(literal(0).label("total"), *_device_details)
    .select_from(_page_ids)
    .join(devices, devices.c.id == _page_ids.c.id)
    .join(tenants, tenants.c.id == devices.c.tenant_id)
    .order_by(devices.c.id.desc()),
    _REASON,
)


_all_devices = select(devices.c.id)
_has_fingerprint = and_(
    devices.c.hw_fingerprint >= bindparam("fingerprint_from"), devices.c.hw_fingerprint < bindparam("fingerprint_to")
)

devices_matching = across_tenants(
    _any_of(
        [
            _all_devices.where(_contains(devices.c.label)),
            _all_devices.where(_has_fingerprint),
            _all_devices.join(tenants, tenants.c.id == devices.c.tenant_id).where(_contains(tenants.c.name)),
        ]
    ),
    _REASON,
)

slug_of_code = across_tenants(
    select(tenants.c.slug)
    .join(activation_codes, activation_codes.c.tenant_id == tenants.c.id)
    .where(activation_codes.c.id == bindparam("code_id")),
    "an operator names a code by its id alone",
)

slug_of_device = across_tenants(
    select(tenants.c.slug)
    .join(devices, devices.c.tenant_id == tenants.c.id)
    .where(devices.c.id == bindparam("device_id")),
    "an operator names a device by its id alone",
)


def _codes(is_of_tenant: bool, search: str | None, has_status: bool) -> Select[Any]:
    matches = select(activation_codes.c.id)
    if is_of_tenant:
        matches = matches.where(_is_of_tenant(activation_codes))
    if search == "code":
        matches = matches.where(
            activation_codes.c.hint == bindparam("hint"), activation_codes.c.code_hash == bindparam("code_hash")
        )
    elif search:
        matches = matches.where(
            or_(
                activation_codes.c.hint == bindparam("hint"),
                _contains(activation_codes.c.label),
                activation_codes.c.tenant_id.in_(_tenants_matching()),
            )
        )
    return matches.where(code_status == bindparam("status")) if has_status else matches


def _devices(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    matches = select(devices.c.id)
    if is_of_tenant:
        matches = matches.where(_is_of_tenant(devices))
    if is_searched:
        matches = matches.where(
            or_(_contains(devices.c.label), _has_fingerprint, devices.c.tenant_id.in_(_tenants_matching()))
        )
    return matches
