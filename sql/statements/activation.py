"""Activation: a device takes a use of a code and a seat; new devices do so in batches."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Date,
    LargeBinary,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    not_,
    null,
    or_,
    select,
    true,
    update,
)

from sql import granted
from sql.dialect import batch_rows, insert, referenced_column
from sql.statements.billing import is_licensed, seat_is_free
from sql.tables import activation_codes, devices, plans, subscriptions, tenants
from sql.tables.columns import Instant

_moves_of_today = case((devices.c.moved_on == bindparam("today", type_=Date), devices.c.moves), else_=0)

# Everything that the explanation of a refusal may need.
activation_situation = (
    select(
        tenants.c.id.label("tenant_id"),
        subscriptions.c.state.label("subscription_state"),
        subscriptions.c.grace_until,
        subscriptions.c.trial_ends_at,
        subscriptions.c.seats_used,
        plans.c.name.label("plan_name"),
        granted.devices.label("max_devices"),
        granted.runs.label("monthly_run_quota"),
        activation_codes.c.id.label("code_id"),
        activation_codes.c.hint.label("code_hint"),
        activation_codes.c.revoked_at.label("code_revoked_at"),
        activation_codes.c.expires_at.label("code_expires_at"),
        activation_codes.c.use_count,
        activation_codes.c.max_uses,
        devices.c.id.label("device_id"),
        devices.c.is_revoked.label("device_is_revoked"),
        devices.c.activation_code_id.label("device_code_id"),
        devices.c.seat_held,
        devices.c.hw_fingerprint.label("stored_fingerprint"),
        _moves_of_today.label("moves"),
        plans.c.device_moves_per_day,
    )
    .select_from(tenants)
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .outerjoin(
        activation_codes,
        and_(activation_codes.c.tenant_id == tenants.c.id, activation_codes.c.code_hash == bindparam("code_hash")),
    )
    .outerjoin(
        devices,
        and_(
            devices.c.tenant_id == tenants.c.id,
            devices.c.hw_fingerprint.in_((bindparam("hw_fingerprint"), bindparam("raw_fingerprint"))),
        ),
    )
    .where(tenants.c.slug == bindparam("tenant_slug"))
    # Where both are stored, the device is the one that was stored under what is sent.
    .order_by(case((devices.c.hw_fingerprint == bindparam("raw_fingerprint"), 0), else_=1))
    .limit(1)
)

is_good = and_(
    activation_codes.c.revoked_at.is_(None),
    or_(activation_codes.c.expires_at.is_(None), activation_codes.c.expires_at > bindparam("now")),
)

# Takes one use of a code, for an enrolled device that sends another code than the one that bound it.
use_code = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == bindparam("of_tenant_id"),
        activation_codes.c.id == bindparam("code_id"),
        activation_codes.c.use_count < activation_codes.c.max_uses,
        is_good,
    )
    .values(
        use_count=activation_codes.c.use_count + 1,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
)

_requests = batch_rows(tenant_slug=String, code_hash=LargeBinary, hw_fingerprint=String)

# The uses of each code that a batch needs. A code is left out of the batch if one of its devices is enrolled already or
# if the tenant has no free seat: each of those requests is handled alone, because here it would roll back the others.
_code_uses = (
    select(
        tenants.c.id.label("tenant_id"),
        _requests.c.code_hash,
        func.count().label("uses"),
        func.count(devices.c.id).label("known"),
    )
    .select_from(_requests)
    .join(tenants, tenants.c.slug == _requests.c.tenant_slug)
    .outerjoin(
        devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.hw_fingerprint == _requests.c.hw_fingerprint)
    )
    .group_by(tenants.c.id, _requests.c.code_hash)
    .cte("code_uses")
)
_has_free_seat = exists().where(
    subscriptions.c.tenant_id == _code_uses.c.tenant_id,
    subscriptions.c.ended_at.is_(None),
    is_licensed,
    seat_is_free,
)
_enough_uses = activation_codes.c.use_count + _code_uses.c.uses <= activation_codes.c.max_uses
_matches_code = and_(
    activation_codes.c.tenant_id == _code_uses.c.tenant_id, activation_codes.c.code_hash == _code_uses.c.code_hash
)
# Every batch locks codes in the same order, so two batches with the same codes wait for each other and do not deadlock.
_locked_codes = (
    select(activation_codes.c.tenant_id, activation_codes.c.id, _code_uses.c.uses)
    .select_from(_code_uses)
    .join(activation_codes, _matches_code)
    .where(_code_uses.c.known == 0, _has_free_seat.correlate(_code_uses), _enough_uses, is_good)
    .order_by(activation_codes.c.id)
    .with_for_update(of=activation_codes)
    .cte("locked_codes")
)

# Takes all the uses of a code that a batch needs, or none of them; returns the codes whose uses it took.
use_codes = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == _locked_codes.c.tenant_id,
        activation_codes.c.id == _locked_codes.c.id,
        activation_codes.c.use_count + _locked_codes.c.uses <= activation_codes.c.max_uses,
        is_good,
    )
    .values(
        use_count=activation_codes.c.use_count + _locked_codes.c.uses,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
    .returning(
        activation_codes.c.id,
        activation_codes.c.tenant_id,
        referenced_column(tenants.c.slug, tenants.c.id, activation_codes.c.tenant_id).label("tenant_slug"),
        activation_codes.c.code_hash,
        activation_codes.c.hint,
    )
)

_new_devices = batch_rows(
    tenant_id=BigInteger,
    hw_fingerprint=String,
    activation_code_id=BigInteger,
    last_seen=Instant,
    created_at=Instant,
)

# Returns no row for hardware that another transaction has enrolled in the meantime.
insert_devices = (
    insert(devices)
    .from_select(
        list(_new_devices.c.keys()),
        select(_new_devices).where(_new_devices.c.tenant_id.is_not(None)),
        # A device that enrolls has no label.
        include_defaults=False,
    )
    .on_conflict_do_nothing(index_elements=[devices.c.tenant_id, devices.c.hw_fingerprint])
    .returning(devices.c.id, devices.c.tenant_id, devices.c.hw_fingerprint)
)

_has_license = exists().where(
    subscriptions.c.tenant_id == devices.c.tenant_id,
    subscriptions.c.ended_at.is_(None),
    is_licensed,
)
_code_is_good = exists().where(
    activation_codes.c.tenant_id == devices.c.tenant_id,
    activation_codes.c.id == bindparam("code_id"),
    activation_codes.c.revoked_at.is_(None),
)

_moves_per_day = (
    select(plans.c.device_moves_per_day)
    .join(subscriptions, subscriptions.c.plan_id == plans.c.id)
    .where(subscriptions.c.tenant_id == devices.c.tenant_id, subscriptions.c.ended_at.is_(None))
    .correlate(devices)
    .scalar_subquery()
)

# An enrolled device activates again: with the code that bound it (:from_code_id), or with another one, which binds it
# from now on. One that holds no seat (:from_seat_held) needs one in the same transaction. Its moves of the day are
# counted, and bounded by its tenant's plan.
bind_device = (
    update(devices)
    .where(
        devices.c.tenant_id == bindparam("of_tenant_id"),
        devices.c.id == bindparam("device_id"),
        devices.c.activation_code_id.is_not_distinct_from(bindparam("from_code_id")),
        not_(devices.c.is_revoked),
        devices.c.seat_held == bindparam("from_seat_held"),
        _has_license.correlate(devices),
        _code_is_good.correlate(devices),
        or_(_moves_per_day.is_(None), _moves_of_today < _moves_per_day),
    )
    .values(
        activation_code_id=bindparam("code_id"),
        last_seen=bindparam("now"),
        seat_held=true(),
        released_at=null(),
        moves=_moves_of_today + 1,
        moved_on=bindparam("today", type_=Date),
    )
)
