"""How tenants sign in: the session behind a token, and what keeps it alive."""

from __future__ import annotations

from sqlalchemy import LargeBinary, bindparam, select, update

from sql.dialect import batch_rows
from sql.scope import across_tenants
from sql.tables import tenant_sessions, tenants

_shown = batch_rows(token_hash=LargeBinary)

sessions_by_token = across_tenants(
    select(
        tenant_sessions.c.token_hash,
        tenant_sessions.c.id,
        tenant_sessions.c.tenant_id,
        tenants.c.slug.label("tenant_slug"),
        tenants.c.name.label("tenant_name"),
        tenant_sessions.c.last_activity,
        tenant_sessions.c.expires_at,
        tenant_sessions.c.created_at,
    )
    .select_from(_shown)
    .join(tenant_sessions, tenant_sessions.c.token_hash == _shown.c.token_hash)
    .join(tenants, tenants.c.id == tenant_sessions.c.tenant_id),
    "the token is what says which tenant it belongs to",
)

# At most once in a while, however many requests come at the same moment.
touch_session = (
    update(tenant_sessions)
    .where(
        tenant_sessions.c.tenant_id == bindparam("of_tenant_id"),
        tenant_sessions.c.id == bindparam("session_id"),
        tenant_sessions.c.last_activity < bindparam("before"),
    )
    .values(last_activity=bindparam("now"))
)
