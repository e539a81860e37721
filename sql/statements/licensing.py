"""Codes, devices, refresh families and signing keys."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from sql import granted
from sql.dialect import batch_rows, insert
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.removal import some_of
from sql.scope import across_tenants
from sql.tables import activation_codes, devices, plans, refresh_families, signing_keys, subscriptions, tenants
from sql.tables.columns import Instant

insert_codes = insert(activation_codes).returning(activation_codes.c.id)

code_by_hash = select(activation_codes.c.id).where(
    activation_codes.c.tenant_id == bindparam("tenant_id"), activation_codes.c.code_hash == bindparam("code_hash")
)

# A second revocation keeps the time of the first one.
revoke_code = (
    update(activation_codes)
    .where(activation_codes.c.tenant_id == bindparam("of_tenant_id"), activation_codes.c.id == bindparam("code_id"))
    .values(revoked_at=func.coalesce(activation_codes.c.revoked_at, bindparam("now")))
    .returning(activation_codes.c.id, activation_codes.c.hint, activation_codes.c.revoked_at)
)

_device = and_(devices.c.tenant_id == bindparam("of_tenant_id"), devices.c.id == bindparam("device_id"))

# Whoever changes no row here has no seat to free: the row tells once that a seat was held.
give_seat_back = update(devices).where(_device, devices.c.seat_held).values(seat_held=false())

# From now on only an activation takes a seat for the device.
release_device = (
    update(devices)
    .where(_device, not_(devices.c.is_revoked), devices.c.released_at.is_(None))
    .values(released_at=bindparam("now"))
)

revoke_device = update(devices).where(_device, not_(devices.c.is_revoked)).values(is_revoked=true(), released_at=null())

# It holds no seat: it is as a device whose seat was released.
reinstate_device = (
    update(devices).where(_device, devices.c.is_revoked).values(is_revoked=false(), released_at=bindparam("now"))
)

# A device that has lost its seat by silence comes back; the seat is taken in the same transaction.
hold_seat_again = (
    update(devices)
    .where(_device, not_(devices.c.seat_held), devices.c.released_at.is_(None), not_(devices.c.is_revoked))
    .values(seat_held=true(), last_seen=bindparam("now"))
)

_other = devices.alias("other")
# A device that was stored under the hash of its fingerprint as it was sent gets that of the normalised one, unless
# another device has it.
normalize_fingerprint = (
    update(devices)
    .where(
        _device,
        devices.c.hw_fingerprint == bindparam("raw_fingerprint"),
        ~exists().where(
            _other.c.tenant_id == bindparam("of_tenant_id"), _other.c.hw_fingerprint == bindparam("fingerprint")
        ),
    )
    .values(hw_fingerprint=bindparam("fingerprint"))
)

device_exists = select(devices.c.id).where(
    devices.c.tenant_id == bindparam("tenant_id"), devices.c.id == bindparam("device_id")
)

# As plain text: a check constraint validates the states, so SQLAlchemy need not look each value up among them.
_state = type_coerce(subscriptions.c.state, String).label("subscription_state")

_requests = batch_rows(tenant_id=BigInteger, device_id=BigInteger)
_matches_device = and_(devices.c.tenant_id == _requests.c.tenant_id, devices.c.id == _requests.c.device_id)

# The devices of a batch, and what their tenants' subscriptions grant. Every device has a tenant, but the join is an
# outer one, so that the planner begins with the devices, each by its primary key, and not with their tenants.
device_standings = (
    select(
        devices.c.tenant_id,
        devices.c.id.label("device_id"),
        devices.c.is_revoked,
        devices.c.seat_held,
        devices.c.released_at,
        tenants.c.slug.label("tenant_slug"),
        plans.c.name.label("plan_name"),
        granted.runs.label("monthly_run_quota"),
        _state,
    )
    .select_from(_requests)
    .join(devices, _matches_device)
    .outerjoin(tenants, tenants.c.id == devices.c.tenant_id)
    .outerjoin(
        subscriptions, and_(subscriptions.c.tenant_id == devices.c.tenant_id, subscriptions.c.ended_at.is_(None))
    )
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenant_is_shown)
)

_heartbeats = batch_rows(tenant_id=BigInteger, device_id=BigInteger, hw_fingerprint=String)

# Every batch locks devices in the same order, so two batches with the same devices wait and do not deadlock.
_locked = (
    select(devices.c.tenant_id, devices.c.id)
    .select_from(_heartbeats)
    .join(
        devices,
        and_(
            devices.c.tenant_id == _heartbeats.c.tenant_id,
            devices.c.id == _heartbeats.c.device_id,
            devices.c.hw_fingerprint == _heartbeats.c.hw_fingerprint,
            devices.c.seat_held,
        ),
    )
    .where(is_shown(devices))
    .order_by(devices.c.id)
    .with_for_update(of=devices)
    .cte("locked")
)

# Returns the devices whose heartbeat is recorded; one without a seat or with another hardware fingerprint changes none.
record_heartbeats = (
    update(devices)
    .where(devices.c.tenant_id == _locked.c.tenant_id, devices.c.id == _locked.c.id)
    .values(last_seen=bindparam("now"))
    .returning(devices.c.tenant_id, devices.c.id.label("device_id"), devices.c.hw_fingerprint)
)

insert_refresh_family = insert(refresh_families)

_family = and_(
    refresh_families.c.tenant_id == bindparam("of_tenant_id"), refresh_families.c.id == bindparam("family_id")
)

_later = refresh_families.alias("later")
# Whether the family that a later activation has opened was used; asked of a family that was superseded alone.
_is_successor_used = case(
    (
        refresh_families.c.superseded_at.is_not(None),
        select(func.count() > 0)
        .where(
            _later.c.tenant_id == refresh_families.c.tenant_id,
            _later.c.device_id == refresh_families.c.device_id,
            _later.c.created_at >= refresh_families.c.superseded_at,
            _later.c.superseded_at.is_(None),
            _later.c.rotated_at.is_not(None),
        )
        .correlate(refresh_families)
        .scalar_subquery(),
    ),
    else_=false(),
)

_tokens = batch_rows(tenant_slug=String, device_id=BigInteger, family_id=String)

# The families of the refresh tokens in a batch, their devices, and what the tenants' subscriptions grant. Apart from
# the tenant's, any of the columns may be null.
refresh_situations = (
    select(
        _tokens.c.tenant_slug,
        _tokens.c.device_id.label("shown_device_id"),
        _tokens.c.family_id,
        tenants.c.id.label("tenant_id"),
        refresh_families.c.device_id,
        refresh_families.c.token_hash,
        refresh_families.c.rotated_at,
        refresh_families.c.expires_at,
        refresh_families.c.revoked_at,
        refresh_families.c.superseded_at,
        _is_successor_used.label("is_successor_used"),
        refresh_families.c.came_back_at,
        devices.c.is_revoked.label("device_is_revoked"),
        devices.c.seat_held,
        devices.c.released_at,
        _state,
        subscriptions.c.grace_until,
        subscriptions.c.trial_ends_at,
        plans.c.name.label("plan_name"),
        granted.runs.label("monthly_run_quota"),
        granted.devices.label("max_devices"),
    )
    .select_from(_tokens)
    .join(tenants, tenants.c.slug == _tokens.c.tenant_slug)
    .outerjoin(
        refresh_families,
        and_(
            refresh_families.c.tenant_id == tenants.c.id,
            refresh_families.c.id == _tokens.c.family_id,
            refresh_families.c.device_id == _tokens.c.device_id,
        ),
    )
    .outerjoin(devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.id == _tokens.c.device_id))
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
)

_rotations = batch_rows(tenant_id=BigInteger, family_id=String, shown_hash=LargeBinary, next_hash=LargeBinary)

# Of several requests with the same token, only the first finds its hash current; the others find its successor's.
rotate_refresh_tokens = hidden_too(
    update(refresh_families)
    .where(
        refresh_families.c.tenant_id == _rotations.c.tenant_id,
        refresh_families.c.id == _rotations.c.family_id,
        refresh_families.c.token_hash == _rotations.c.shown_hash,
        refresh_families.c.revoked_at.is_(None),
        refresh_families.c.expires_at > bindparam("now"),
        or_(refresh_families.c.superseded_at.is_(None), refresh_families.c.superseded_at > bindparam("overlaps_since")),
    )
    .values(token_hash=_rotations.c.next_hash, rotated_at=bindparam("now"), expires_at=bindparam("next_expires_at"))
    .returning(refresh_families.c.id),
    "its tenants have just been found by their slugs",
)

revoke_refresh_family = (
    update(refresh_families).where(_family, refresh_families.c.revoked_at.is_(None)).values(revoked_at=bindparam("now"))
)

revoke_refresh_families_of_device = (
    update(refresh_families)
    .where(
        refresh_families.c.tenant_id == bindparam("of_tenant_id"),
        refresh_families.c.device_id == bindparam("of_device_id"),
        refresh_families.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now"))
)

_earlier = refresh_families.alias("earlier")
_preceding = (
    select(_earlier.c.id)
    .where(
        _earlier.c.tenant_id == bindparam("of_tenant_id"),
        _earlier.c.device_id == bindparam("of_device_id"),
        _earlier.c.revoked_at.is_(None),
        _earlier.c.superseded_at.is_(None),
    )
    .order_by(_earlier.c.created_at.desc(), _earlier.c.id)
    .limit(1)
    .scalar_subquery()
)
# Before a device gets another family: of those that it has, the newest overlaps with the next one for a while, and all
# others end at once.
supersede_refresh_families = (
    update(refresh_families)
    .where(
        refresh_families.c.tenant_id == bindparam("of_tenant_id"),
        refresh_families.c.device_id == bindparam("of_device_id"),
        refresh_families.c.revoked_at.is_(None),
    )
    .values(
        superseded_at=func.coalesce(refresh_families.c.superseded_at, bindparam("now")),
        revoked_at=case((refresh_families.c.id == _preceding, null()), else_=bindparam("now", type_=Instant)),
    )
)

# A family that has ended so counts once, however often it comes back. The device is changed first, in the order in
# which an activation changes both.
count_clone = (
    update(devices)
    .where(
        _device,
        exists().where(
            _family, refresh_families.c.superseded_at.is_not(None), refresh_families.c.came_back_at.is_(None)
        ),
    )
    .values(clone_count=devices.c.clone_count + 1)
)
family_came_back = (
    update(refresh_families)
    .where(_family, refresh_families.c.came_back_at.is_(None))
    .values(came_back_at=bindparam("now"))
)

delete_expired_refresh_families = across_tenants(
    hidden_too(
        some_of(refresh_families, refresh_families.c.expires_at < bindparam("now")),
        "it removes what a deletion would remove later",
    ),
    "retention removes expired families of all tenants",
)

verifying_keys = (
    select(signing_keys)
    .where(or_(signing_keys.c.verifies_until.is_(None), signing_keys.c.verifies_until > bindparam("now")))
    .order_by(signing_keys.c.signs_from, signing_keys.c.kid)
)

# A rotation locks the keys first: of two at the same time, the second waits, and then retires the new key of the first.
signing_keys_locked = select(signing_keys.c.kid).order_by(signing_keys.c.kid).with_for_update()

insert_signing_key = insert(signing_keys)

retire_signing_keys = update(signing_keys).where(
    or_(signing_keys.c.verifies_until.is_(None), signing_keys.c.verifies_until > bindparam("latest"))
)

delete_expired_signing_keys = delete(signing_keys).where(signing_keys.c.verifies_until < bindparam("now"))
