"""Looking tenants up, inserting them, and their public branding."""

from __future__ import annotations

from sqlalchemy import String, bindparam, insert, select

from sql.dialect import batch_rows
from sql.tables import tenants

by_slug = select(tenants.c.id, tenants.c.name, tenants.c.slug).where(tenants.c.slug == bindparam("tenant_slug"))

# FOR NO KEY UPDATE, weaker than FOR UPDATE: other transactions may still insert rows that refer to the tenant. With FOR
# UPDATE those inserts would deadlock.
by_slug_locked = by_slug.with_for_update(key_share=True)

# FOR KEY SHARE: until this transaction ends, only the deletion of the tenant waits. A transaction that changes one row
# of the tenant and then inserts another takes this lock first, or it could deadlock with a deletion.
by_slug_share_locked = by_slug.with_for_update(read=True, key_share=True)

_requests = batch_rows(slug=String)

brandings = (
    select(tenants.c.slug, tenants.c.logo_url, tenants.c.primary_color, tenants.c.domain)
    .select_from(_requests)
    .join(tenants, tenants.c.slug == _requests.c.slug)
)

insert_tenant = insert(tenants).returning(tenants.c.id)

# The addresses at which a tenant receives messages.
contact_by_slug = select(
    tenants.c.id,
    tenants.c.name,
    tenants.c.slug,
    tenants.c.email,
    tenants.c.phone_number,
    tenants.c.otp_delivery_method,
).where(tenants.c.slug == bindparam("tenant_slug"))
