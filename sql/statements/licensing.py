"""Codes, devices, refresh families and signing keys: what is asked and changed on the way to a licensed device."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    true,
    update,
)

from sql.dialect import batch_rows, insert
from sql.scope import across_tenants
from sql.statements.billing import LICENSED_STATES
from sql.tables import activation_codes, devices, plans, refresh_families, signing_keys, subscriptions, tenants

_tenant_of_slug = select(tenants.c.id).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery()
_hardware_is_known = exists().where(
    devices.c.tenant_id == activation_codes.c.tenant_id, devices.c.hw_fingerprint == bindparam("hw_fingerprint")
)

# A use is taken only for what the caller expects to find: unknown hardware, or a device that was looked up before.
claim_code = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == _tenant_of_slug,
        activation_codes.c.code_hash == bindparam("of_code_hash"),
        activation_codes.c.revoked_at.is_(None),
        activation_codes.c.use_count < activation_codes.c.max_uses,
        or_(activation_codes.c.expires_at.is_(None), activation_codes.c.expires_at > bindparam("now")),
        or_(bindparam("is_known", type_=Boolean), not_(_hardware_is_known.correlate(activation_codes))),
    )
    .values(
        use_count=activation_codes.c.use_count + 1,
        used_at=func.coalesce(activation_codes.c.used_at, bindparam("now")),
    )
    .returning(activation_codes.c.id, activation_codes.c.tenant_id, activation_codes.c.hint)
)

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
        activation_codes.c.hint,
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

insert_codes = insert(activation_codes).returning(activation_codes.c.id)

_status = case(
    (activation_codes.c.revoked_at.is_not(None), "revoked"),
    (activation_codes.c.expires_at <= bindparam("now"), "expired"),
    (activation_codes.c.use_count >= activation_codes.c.max_uses, "used"),
    else_="active",
)

codes_of_tenant = (
    select(
        activation_codes.c.id,
        activation_codes.c.hint,
        _status.label("status"),
        activation_codes.c.use_count,
        activation_codes.c.max_uses,
        activation_codes.c.label,
        activation_codes.c.expires_at,
        activation_codes.c.created_at,
    )
    .where(activation_codes.c.tenant_id == bindparam("tenant_id"), activation_codes.c.id < bindparam("before_id"))
    .order_by(activation_codes.c.id.desc())
    .limit(bindparam("page_size"))
)

code_by_hash = select(activation_codes.c.id).where(
    activation_codes.c.tenant_id == bindparam("tenant_id"), activation_codes.c.code_hash == bindparam("code_hash")
)

# Revoking again keeps the time of the first revocation.
revoke_code = (
    update(activation_codes)
    .where(activation_codes.c.tenant_id == bindparam("of_tenant_id"), activation_codes.c.id == bindparam("code_id"))
    .values(revoked_at=func.coalesce(activation_codes.c.revoked_at, bindparam("now")))
    .returning(activation_codes.c.id, activation_codes.c.hint, activation_codes.c.revoked_at)
)

insert_device = (
    insert(devices)
    .on_conflict_do_nothing(index_elements=[devices.c.tenant_id, devices.c.hw_fingerprint])
    .returning(devices.c.id)
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

devices_of_tenant = (
    select(
        devices.c.id,
        devices.c.label,
        devices.c.hw_fingerprint,
        devices.c.is_revoked,
        devices.c.last_seen,
        devices.c.created_at,
    )
    .where(devices.c.tenant_id == bindparam("tenant_id"), devices.c.id < bindparam("before_id"))
    .order_by(devices.c.id.desc())
    .limit(bindparam("page_size"))
)

revoke_device = (
    update(devices)
    .where(
        devices.c.tenant_id == bindparam("of_tenant_id"),
        devices.c.id == bindparam("device_id"),
        not_(devices.c.is_revoked),
    )
    .values(is_revoked=true())
)

device_exists = select(devices.c.id).where(
    devices.c.tenant_id == bindparam("tenant_id"), devices.c.id == bindparam("device_id")
)

_asked = batch_rows(tenant_id=BigInteger, device_id=BigInteger)
_asked_device = and_(devices.c.tenant_id == _asked.c.tenant_id, devices.c.id == _asked.c.device_id)

# Who the devices of a batch are, and what their tenants' subscriptions grant.
device_standings = (
    select(
        devices.c.tenant_id,
        devices.c.id.label("device_id"),
        devices.c.is_revoked,
        tenants.c.slug.label("tenant_slug"),
        plans.c.name.label("plan_name"),
        plans.c.monthly_run_quota,
        subscriptions.c.state.label("subscription_state"),
    )
    .select_from(_asked)
    .join(devices, _asked_device)
    .join(tenants, tenants.c.id == devices.c.tenant_id)
    .outerjoin(
        subscriptions, and_(subscriptions.c.tenant_id == devices.c.tenant_id, subscriptions.c.ended_at.is_(None))
    )
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
)

_beating = batch_rows(tenant_id=BigInteger, device_id=BigInteger, hw_fingerprint=String)

# Locked in one order, so that two batches with the same devices wait for each other instead of deadlocking.
_locked = (
    select(devices.c.tenant_id, devices.c.id)
    .select_from(_beating)
    .join(
        devices,
        and_(
            devices.c.tenant_id == _beating.c.tenant_id,
            devices.c.id == _beating.c.device_id,
            devices.c.hw_fingerprint == _beating.c.hw_fingerprint,
            not_(devices.c.is_revoked),
        ),
    )
    .order_by(devices.c.id)
    .with_for_update(of=devices)
    .cte("locked")
)

# Answers the devices whose heartbeat counts; a revoked device or other hardware is left as it was.
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

refresh_situation = (
    select(
        tenants.c.id.label("tenant_id"),
        refresh_families.c.device_id,
        refresh_families.c.token_hash,
        refresh_families.c.expires_at,
        refresh_families.c.revoked_at,
        devices.c.is_revoked.label("device_is_revoked"),
        subscriptions.c.state.label("subscription_state"),
        plans.c.name.label("plan_name"),
        plans.c.monthly_run_quota,
    )
    .select_from(tenants)
    .outerjoin(
        refresh_families,
        and_(
            refresh_families.c.tenant_id == tenants.c.id,
            refresh_families.c.id == bindparam("family_id"),
            refresh_families.c.device_id == bindparam("device_id"),
        ),
    )
    .outerjoin(devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.id == bindparam("device_id")))
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
    .where(tenants.c.slug == bindparam("tenant_slug"))
)

# The one that finds the presented token still current wins; everybody else has shown a used one.
rotate_refresh_token = (
    update(refresh_families)
    .where(
        _family,
        refresh_families.c.token_hash == bindparam("shown_hash"),
        refresh_families.c.revoked_at.is_(None),
        refresh_families.c.expires_at > bindparam("now"),
    )
    .values(token_hash=bindparam("next_hash"), expires_at=bindparam("next_expires_at"))
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

delete_expired_refresh_families = across_tenants(
    delete(refresh_families).where(refresh_families.c.expires_at < bindparam("now")),
    "retention removes what no token can use any more, whoever's it is",
)

verifying_keys = (
    select(signing_keys)
    .where(or_(signing_keys.c.verifies_until.is_(None), signing_keys.c.verifies_until > bindparam("now")))
    .order_by(signing_keys.c.signs_from, signing_keys.c.kid)
)

insert_signing_key = insert(signing_keys)

retire_signing_keys = update(signing_keys).where(
    or_(signing_keys.c.verifies_until.is_(None), signing_keys.c.verifies_until > bindparam("latest")),
    signing_keys.c.kid != bindparam("newest_kid"),
)

delete_expired_signing_keys = delete(signing_keys).where(signing_keys.c.verifies_until < bindparam("now"))
