"""Codes, devices, refresh families and signing keys: what is asked and changed on the way to a licensed device."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    String,
    and_,
    bindparam,
    delete,
    func,
    not_,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from sql.dialect import batch_rows, insert
from sql.lists.license_list import code_status
from sql.scope import across_tenants
from sql.tables import activation_codes, devices, plans, refresh_families, signing_keys, subscriptions, tenants

insert_codes = insert(activation_codes).returning(activation_codes.c.id)

codes_of_tenant = (
    select(
        activation_codes.c.id,
        activation_codes.c.hint,
        code_status.label("status"),
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

# As the text it is: there is no need to look each up among the states that the database's check has let in.
_state = type_coerce(subscriptions.c.state, String).label("subscription_state")

_asked = batch_rows(tenant_id=BigInteger, device_id=BigInteger)
_asked_device = and_(devices.c.tenant_id == _asked.c.tenant_id, devices.c.id == _asked.c.device_id)

# Who the devices of a batch are, and what their tenants' subscriptions grant. Every device has a tenant; it is joined
# from the outside so that the planner begins with the devices, each found by its own key, and not with their tenants.
device_standings = (
    select(
        devices.c.tenant_id,
        devices.c.id.label("device_id"),
        devices.c.is_revoked,
        tenants.c.slug.label("tenant_slug"),
        plans.c.name.label("plan_name"),
        plans.c.monthly_run_quota,
        _state,
    )
    .select_from(_asked)
    .join(devices, _asked_device)
    .outerjoin(tenants, tenants.c.id == devices.c.tenant_id)
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

_shown = batch_rows(tenant_slug=String, device_id=BigInteger, family_id=String)

# The families whose tokens a batch shows, their devices, and what the tenants' subscriptions grant. Only the tenant is
# there in any case.
refresh_situations = (
    select(
        _shown.c.tenant_slug,
        _shown.c.device_id.label("shown_device_id"),
        _shown.c.family_id,
        tenants.c.id.label("tenant_id"),
        refresh_families.c.device_id,
        refresh_families.c.token_hash,
        refresh_families.c.expires_at,
        refresh_families.c.revoked_at,
        devices.c.is_revoked.label("device_is_revoked"),
        _state,
        plans.c.name.label("plan_name"),
        plans.c.monthly_run_quota,
    )
    .select_from(_shown)
    .join(tenants, tenants.c.slug == _shown.c.tenant_slug)
    .outerjoin(
        refresh_families,
        and_(
            refresh_families.c.tenant_id == tenants.c.id,
            refresh_families.c.id == _shown.c.family_id,
            refresh_families.c.device_id == _shown.c.device_id,
        ),
    )
    .outerjoin(devices, and_(devices.c.tenant_id == tenants.c.id, devices.c.id == _shown.c.device_id))
    .outerjoin(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, subscriptions.c.ended_at.is_(None)))
    .outerjoin(plans, plans.c.id == subscriptions.c.plan_id)
)

_rotating = batch_rows(tenant_id=BigInteger, family_id=String, shown_hash=LargeBinary, next_hash=LargeBinary)

# The one that finds the presented token still current wins; everybody else has shown a used one.
rotate_refresh_tokens = (
    update(refresh_families)
    .where(
        refresh_families.c.tenant_id == _rotating.c.tenant_id,
        refresh_families.c.id == _rotating.c.family_id,
        refresh_families.c.token_hash == _rotating.c.shown_hash,
        refresh_families.c.revoked_at.is_(None),
        refresh_families.c.expires_at > bindparam("now"),
    )
    .values(token_hash=_rotating.c.next_hash, expires_at=bindparam("next_expires_at"))
    .returning(refresh_families.c.id)
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

# Whoever rotates the keys has them first: of two at once, the second ends the first one's new key.
signing_keys_locked = select(signing_keys.c.kid).order_by(signing_keys.c.kid).with_for_update()

insert_signing_key = insert(signing_keys)

retire_signing_keys = update(signing_keys).where(
    or_(signing_keys.c.verifies_until.is_(None), signing_keys.c.verifies_until > bindparam("latest"))
)

delete_expired_signing_keys = delete(signing_keys).where(signing_keys.c.verifies_until < bindparam("now"))
