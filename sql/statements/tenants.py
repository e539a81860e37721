"""Questions about tenants, and what anybody may see of them."""

from __future__ import annotations

from sqlalchemy import String, bindparam, insert, select

from sql.dialect import batch_rows
from sql.tables import tenants

by_slug = select(tenants.c.id, tenants.c.name, tenants.c.slug).where(tenants.c.slug == bindparam("tenant_slug"))

# Weaker than FOR UPDATE: rows that refer to the tenant may be inserted meanwhile, or those inserts would deadlock.
by_slug_locked = by_slug.with_for_update(key_share=True)

# The tenant as it stays until this transaction has ended: only its deletion waits. What inserts a row of the tenant's
# after it has changed another one asks for it first, or it would meet a deletion on the other way round.
by_slug_kept = by_slug.with_for_update(read=True, key_share=True)

_asked = batch_rows(slug=String)

brandings = (
    select(tenants.c.slug, tenants.c.logo_url, tenants.c.primary_color, tenants.c.domain)
    .select_from(_asked)
    .join(tenants, tenants.c.slug == _asked.c.slug)
)

insert_tenant = insert(tenants).returning(tenants.c.id)

# Where messages reach a tenant.
contact_by_slug = select(
    tenants.c.id,
    tenants.c.name,
    tenants.c.slug,
    tenants.c.email,
    tenants.c.phone_number,
    tenants.c.otp_delivery_method,
).where(tenants.c.slug == bindparam("tenant_slug"))
