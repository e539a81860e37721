"""How tenants sign in: the open challenge and its guesses, the session behind a token, and what keeps it alive."""

from __future__ import annotations

from sqlalchemy import LargeBinary, bindparam, delete, insert, or_, select, update

from sql.dialect import batch_rows
from sql.dialect import insert as upsert
from sql.scope import across_tenants
from sql.tables import otp_challenges, tenant_sessions, tenants

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

_challenge = upsert(otp_challenges)

# The newest replaces the one before, with all its guesses.
store_challenge = _challenge.on_conflict_do_update(
    index_elements=[otp_challenges.c.tenant_id],
    set_={
        "code_hash": _challenge.excluded.code_hash,
        "attempts": 0,
        "expires_at": _challenge.excluded.expires_at,
        "created_at": _challenge.excluded.created_at,
    },
)

# Each guess is counted before it is looked at; nothing comes back when none is left.
count_guess = (
    update(otp_challenges)
    .where(
        otp_challenges.c.tenant_id
        == select(tenants.c.id).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery(),
        otp_challenges.c.attempts < bindparam("max_attempts"),
        otp_challenges.c.expires_at > bindparam("now"),
    )
    .values(attempts=otp_challenges.c.attempts + 1)
    .returning(otp_challenges.c.tenant_id, otp_challenges.c.code_hash)
)

# Of two right guesses at the same moment one finds it.
take_challenge = delete(otp_challenges).where(
    otp_challenges.c.tenant_id == bindparam("tenant_id"), otp_challenges.c.code_hash == bindparam("code_hash")
)

insert_session = insert(tenant_sessions).returning(tenant_sessions.c.id)

delete_session = delete(tenant_sessions).where(
    tenant_sessions.c.tenant_id == bindparam("tenant_id"), tenant_sessions.c.id == bindparam("session_id")
)

_ended = or_(
    tenant_sessions.c.expires_at < bindparam("expired_before"),
    tenant_sessions.c.last_activity < bindparam("idle_before"),
)

delete_ended_sessions = across_tenants(
    delete(tenant_sessions)
    .where(tenant_sessions.c.id.in_(select(tenant_sessions.c.id).where(_ended).limit(bindparam("max_rows"))), _ended)
    .returning(tenant_sessions.c.tenant_id),
    "the hourly purge removes what has ended, whoever's it was",
)

delete_ended_challenges = across_tenants(
    delete(otp_challenges).where(otp_challenges.c.expires_at < bindparam("now")),
    "the hourly purge removes what has ended, whoever's it was",
)
