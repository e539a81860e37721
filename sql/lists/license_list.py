"""The codes and the devices of all tenants, as operators page through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

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

from sql.counting import MAX_COUNTED, PAGE_SIZE, SKIP, beside_total, found_ids, found_total, kept
from sql.dialect import batch_rows
from sql.scope import across_tenants
from sql.tables import activation_codes, devices, tenants

_WHY = "operators see what all tenants have"

code_status = case(
    (activation_codes.c.revoked_at.is_not(None), "revoked"),
    (activation_codes.c.expires_at <= bindparam("now"), "expired"),
    (activation_codes.c.use_count >= activation_codes.c.max_uses, "used"),
    else_="active",
)


def _is_of_tenant(table: Table) -> ColumnElement[bool]:
    named = select(tenants.c.id).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery()
    return and_(table.c.tenant_id == named)


def _tenants_named() -> Select[Any]:
    return select(tenants.c.id).where(_contains(tenants.c.name))


def _contains(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.lower(column).like(func.lower(bindparam("pattern")), escape="\\")


def _any_of(arms: Sequence[Select[Any]]) -> Select[Any]:
    """A page of the ids of all arms; each by itself, so that each has its own index, and no further than is counted."""
    limited = [arm.limit(MAX_COUNTED + 1).subquery() for arm in arms]
    found = union(*(select(arm.c.id) for arm in limited)).subquery("found")
    return found_ids(select(found.c.id), lambda of: [of.c.id.desc()])


_chosen = batch_rows(id=BigInteger)

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


def code_page(is_of_tenant: bool, search: Literal["way", "code"] | None, has_status: bool) -> Select[Any]:
    """A page of codes, newest first, beside their total, unless that is known already.

    ``search`` says whether each is compared on the ``way``, or whether one whole ``code`` is looked for.
    """
    found = _codes(is_of_tenant, search, has_status)
    is_counted_here = is_of_tenant or search == "code"
    everything = literal(0) if search or has_status else kept("codes_created")
    page = found.order_by(activation_codes.c.id.desc()).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = beside_total(found_total(found) if is_counted_here else everything, page)
    statement = (
        select(total, *_code_details)
        .select_from(source)
        .outerjoin(activation_codes, activation_codes.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == activation_codes.c.tenant_id)
        .order_by(activation_codes.c.id.desc())
    )
    return across_tenants(statement, _WHY)


# Whose ids a search has found.
codes_chosen = across_tenants(
    select(literal(0).label("total"), *_code_details)
    .select_from(_chosen)
    .join(activation_codes, activation_codes.c.id == _chosen.c.id)
    .join(tenants, tenants.c.id == activation_codes.c.tenant_id)
    .order_by(activation_codes.c.id.desc()),
    _WHY,
)


def codes_named(has_status: bool) -> Select[Any]:
    """The codes that a text finds, as ``found_ids`` of a page."""
    codes = select(activation_codes.c.id)
    labelled = codes.where(_contains(activation_codes.c.label))
    hinted = codes.where(activation_codes.c.hint == bindparam("hint"))
    owned = codes.join(tenants, tenants.c.id == activation_codes.c.tenant_id).where(_contains(tenants.c.name))
    arms = [arm.where(code_status == bindparam("status")) if has_status else arm for arm in (labelled, hinted, owned)]
    return across_tenants(_any_of(arms), _WHY)


def device_page(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    """A page of devices beside their total, unless that is known already.

    A tenant's are ordered by when they were last seen, those of all tenants newest first; where something is searched,
    each is compared on the way.
    """
    order: tuple[ColumnElement[Any], ...] = (devices.c.id.desc(),)
    if is_of_tenant:
        order = (devices.c.last_seen.desc(), *order)
    found = _devices(is_of_tenant, is_searched)
    everything = literal(0) if is_searched else kept("devices_created")
    page = found.order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = beside_total(found_total(found) if is_of_tenant else everything, page)
    statement = (
        select(total, *_device_details)
        .select_from(source)
        .outerjoin(devices, devices.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == devices.c.tenant_id)
        .order_by(*order)
    )
    return across_tenants(statement, _WHY)


# Whose ids a search has found.
devices_chosen = across_tenants(
    select(literal(0).label("total"), *_device_details)
    .select_from(_chosen)
    .join(devices, devices.c.id == _chosen.c.id)
    .join(tenants, tenants.c.id == devices.c.tenant_id)
    .order_by(devices.c.id.desc()),
    _WHY,
)


_devices_of_all = select(devices.c.id)
_has_fingerprint = and_(
    devices.c.hw_fingerprint >= bindparam("fingerprint_from"), devices.c.hw_fingerprint < bindparam("fingerprint_to")
)

devices_named = across_tenants(
    _any_of(
        [
            _devices_of_all.where(_contains(devices.c.label)),
            _devices_of_all.where(_has_fingerprint),
            _devices_of_all.join(tenants, tenants.c.id == devices.c.tenant_id).where(_contains(tenants.c.name)),
        ]
    ),
    _WHY,
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
    found = select(activation_codes.c.id)
    if is_of_tenant:
        found = found.where(_is_of_tenant(activation_codes))
    if search == "code":
        found = found.where(
            activation_codes.c.hint == bindparam("hint"), activation_codes.c.code_hash == bindparam("code_hash")
        )
    elif search:
        found = found.where(
            or_(
                activation_codes.c.hint == bindparam("hint"),
                _contains(activation_codes.c.label),
                activation_codes.c.tenant_id.in_(_tenants_named()),
            )
        )
    return found.where(code_status == bindparam("status")) if has_status else found


def _devices(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    found = select(devices.c.id)
    if is_of_tenant:
        found = found.where(_is_of_tenant(devices))
    if is_searched:
        found = found.where(
            or_(_contains(devices.c.label), _has_fingerprint, devices.c.tenant_id.in_(_tenants_named()))
        )
    return found
