"""Changing tenants: the profile, locked for a change, and the change."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from sql.hidden import tenant_is_shown
from sql.tables import tenants

_profile = select(
    tenants.c.id,
    tenants.c.slug,
    tenants.c.name,
    tenants.c.logo_url,
    tenants.c.primary_color,
    tenants.c.domain,
    tenants.c.email,
    tenants.c.phone_number,
    tenants.c.otp_delivery_method,
).with_for_update(key_share=True)

profile_by_slug_locked = _profile.where(tenants.c.slug == bindparam("tenant_slug"))

profile_by_id_locked = _profile.where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown)

# Sets the columns that are passed as parameters, of a tenant whose profile this transaction has locked.
set_tenant = update(tenants).where(tenants.c.id == bindparam("of_id"), tenant_is_shown)
