"""Changes of where a tenant's one-time passwords go: those that wait, deciding one, and what is told of it."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, insert, literal_column, select, update

from sql.hidden import hidden_too, tenant_is_shown
from sql.removal import some_of
from sql.scope import across_tenants
from sql.tables import contact_changes, tenant_sessions, tenants
from sql.tables.columns import Instant

# A literal, because with a parameter a generic plan could not use the partial index over what waits.
_WAITS = contact_changes.c.state == literal_column("'waiting'")
# One that waits for longer was asked for by a clock that stood ahead.
_is_open = and_(
    _WAITS,
    contact_changes.c.expires_at > bindparam("now", type_=Instant),
    contact_changes.c.expires_at <= bindparam("latest", type_=Instant),
)

insert_change = insert(contact_changes).returning(contact_changes.c.id)

_shown = (
    contact_changes.c.id,
    contact_changes.c.tenant_id,
    contact_changes.c.changes,
    contact_changes.c.created_at,
    contact_changes.c.expires_at,
)

waiting_change = select(*_shown).where(contact_changes.c.tenant_id == bindparam("tenant_id"), _is_open)

_by_token = and_(contact_changes.c.token_hash == bindparam("token_hash"), _is_open, tenant_is_shown)
_WHY = "the tenant is not known before its link is found"

change_by_token = across_tenants(
    select(*_shown).join(tenants, tenants.c.id == contact_changes.c.tenant_id).where(_by_token), _WHY
)

tenant_of_token = across_tenants(
    select(tenants.c.id, tenants.c.name, tenants.c.slug)
    .join(contact_changes, contact_changes.c.tenant_id == tenants.c.id)
    .where(_by_token),
    _WHY,
)

change_values = select(
    contact_changes.c.changes, contact_changes.c.previous, contact_changes.c.state, contact_changes.c.expires_at
).where(contact_changes.c.tenant_id == bindparam("tenant_id"), contact_changes.c.id == bindparam("change_id"))

# Each message that asks has a link of its own; the newest one works. None is sent for what has ended meanwhile.
set_token = (
    update(contact_changes)
    .where(
        contact_changes.c.tenant_id == bindparam("of_tenant_id"),
        contact_changes.c.id == bindparam("change_id"),
        _is_open,
    )
    .values(token_hash=bindparam("new_token_hash"))
)

# Of two decisions at the same moment, the second changes nothing.
decide_change = (
    update(contact_changes)
    .where(
        contact_changes.c.tenant_id == bindparam("of_tenant_id"),
        contact_changes.c.id == bindparam("change_id"),
        _is_open,
    )
    .values(state=bindparam("outcome"), previous=bindparam("before"), decided_at=bindparam("now", type_=Instant))
)

supersede_change = (
    update(contact_changes)
    .where(contact_changes.c.tenant_id == bindparam("of_tenant_id"), _WAITS)
    .values(state="superseded", decided_at=bindparam("now", type_=Instant))
)

end_sessions = delete(tenant_sessions).where(tenant_sessions.c.tenant_id == bindparam("of_tenant_id"))

delete_old_changes = across_tenants(
    hidden_too(
        some_of(contact_changes, contact_changes.c.created_at < bindparam("before")),
        "it removes what a deletion would remove later",
    ),
    "the hourly purge removes what has ended, of all tenants",
)
