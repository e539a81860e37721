"""Activation: bringing a code, a device and a seat together, for many devices at once where none of them is known."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, and_, bindparam, exists, func, not_, or_, select, update

from sql.dialect import batch_rows, insert, looked_up
from sql.statements.billing import LICENSED_STATES, seat_is_free
from sql.tables import activation_codes, devices, plans, subscriptions, tenants
from sql.tables.columns import Instant

# Everything a refusal is explained with.
activation_situation = (
    select(
        tenants.c.id.label("tenant_id"),
        subscriptions.c.state.label("subscription_state"),
        subscriptions.c.seats_used,
        plans.c.name.label("plan_name"),
        plans.c.max_devices,
        plans.c.monthly_run_quota,
        activation_codes.c.id.label("code_id"),
        activation_codes.c.hint.label("code_hint"),
        activation_codes.c.revoked_at.label("code_revoked_at"),
        activation_codes.c.expires_at.label("code_expires_at"),
        activation_codes.c.use_count,
        activation_codes.c.max_uses,
        devices.c.id.label("device_id"),
        devices.c.is_revoked.label("device_is_revoked"),
        devices.c.activation_code_id.label("device_code_id"),
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
        and_(devices.c.tenant_id == tenants.c.id, devices.c.hw_fingerprint == bindparam("hw_fingerprint")),
    )
    .where(tenants.c.slug == bindparam("tenant_slug"))
)

_is_good = and_(
    activation_codes.c.revoked_at.is_(None),
    or_(activation_codes.c.expires_at.is_(None), activation_codes.c.expires_at > bindparam("now")),
)

# A use of a code for a device that is known and shows another code than the one it was bound by.
use_code = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == bindparam("of_tenant_id"),
        activation_codes.c.id == bindparam("code_id"),
        activation_codes.c.use_count < activation_codes.c.max_uses,
        _is_good,
    )
    .values(
        use_count=activation_codes.c.use_count + 1,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
)

_applying = batch_rows(tenant_slug=String, code_hash=LargeBinary, hw_fingerprint=String)

# The uses that a batch wants of each code. A code is left out as a whole where one of its devices is known already or
# where the tenant has no room: those are not a batch's business, and would only roll back their neighbours.
_wanted = (
    select(
        tenants.c.id.label("tenant_id"),
        _applying.c.code_hash,
        func.count().label("uses"),
        func.count(devices.c.id).label("known"),
    )
    .select_from(_applying)
    .join(tenants, tenants.c.slug == _applying.c.tenant_slug)
    .outerjoin(
        devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.hw_fingerprint == _applying.c.hw_fingerprint)
    )
    .group_by(tenants.c.id, _applying.c.code_hash)
    .cte("wanted")
)
_has_room = exists().where(
    subscriptions.c.tenant_id == _wanted.c.tenant_id,
    subscriptions.c.ended_at.is_(None),
    subscriptions.c.state.in_(LICENSED_STATES),
    seat_is_free,
)
_enough_uses = activation_codes.c.use_count + _wanted.c.uses <= activation_codes.c.max_uses
_wanted_code = and_(
    activation_codes.c.tenant_id == _wanted.c.tenant_id, activation_codes.c.code_hash == _wanted.c.code_hash
)
# Locked in one order, so that two batches that want the same codes wait for each other instead of deadlocking.
_locked_codes = (
    select(activation_codes.c.tenant_id, activation_codes.c.id, _wanted.c.uses)
    .select_from(_wanted)
    .join(activation_codes, _wanted_code)
    .where(_wanted.c.known == 0, _has_room.correlate(_wanted), _enough_uses, _is_good)
    .order_by(activation_codes.c.id)
    .with_for_update(of=activation_codes)
    .cte("locked_codes")
)

# Takes all the uses that a batch wants of a code, or none of them; answers the codes of which it has.
use_codes = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == _locked_codes.c.tenant_id,
        activation_codes.c.id == _locked_codes.c.id,
        activation_codes.c.use_count + _locked_codes.c.uses <= activation_codes.c.max_uses,
        _is_good,
    )
    .values(
        use_count=activation_codes.c.use_count + _locked_codes.c.uses,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
    .returning(
        activation_codes.c.id,
        activation_codes.c.tenant_id,
        looked_up(tenants.c.slug, tenants.c.id, activation_codes.c.tenant_id).label("tenant_slug"),
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

# Hardware that has become known meanwhile is not among the answered.
insert_devices = (
    insert(devices)
    .from_select(list(_new_devices.c.keys()), select(_new_devices).where(_new_devices.c.tenant_id.is_not(None)))
    .on_conflict_do_nothing(index_elements=[devices.c.tenant_id, devices.c.hw_fingerprint])
    .returning(devices.c.id, devices.c.tenant_id, devices.c.hw_fingerprint)
)

_is_licensed = exists().where(
    subscriptions.c.tenant_id == devices.c.tenant_id,
    subscriptions.c.ended_at.is_(None),
    subscriptions.c.state.in_(LICENSED_STATES),
)
_code_is_good = exists().where(
    activation_codes.c.tenant_id == devices.c.tenant_id,
    activation_codes.c.id == bindparam("code_id"),
    activation_codes.c.revoked_at.is_(None),
)

# A known device activates with the code it was bound by (:from_code_id), or is bound by another one from now on.
bind_device = (
    update(devices)
    .where(
        devices.c.tenant_id == bindparam("of_tenant_id"),
        devices.c.id == bindparam("device_id"),
        devices.c.activation_code_id.is_not_distinct_from(bindparam("from_code_id")),
        not_(devices.c.is_revoked),
        _is_licensed.correlate(devices),
        _code_is_good.correlate(devices),
    )
    .values(activation_code_id=bindparam("code_id"), last_seen=bindparam("now"))
)
