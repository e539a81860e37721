"""Sign-in of tenants: challenges and their guesses, and sessions by token."""

from __future__ import annotations

from sqlalchemy import LargeBinary, and_, bindparam, delete, insert, or_, select, update

from sql.dialect import batch_rows
from sql.dialect import insert as upsert
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.removal import some_of
from sql.scope import across_tenants
from sql.tables import otp_challenges, tenant_sessions, tenant_sign_in_links, tenants

_requests = batch_rows(token_hash=LargeBinary)

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
    .select_from(_requests)
    .join(tenant_sessions, tenant_sessions.c.token_hash == _requests.c.token_hash)
    .join(tenants, tenants.c.id == tenant_sessions.c.tenant_id)
    .where(tenant_is_shown),
    "the tenant is not known before its token is found",
)

# The condition on last_activity limits the writes, however many requests come at the same moment.
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

# A new challenge replaces the previous one.
store_challenge = _challenge.on_conflict_do_update(
    index_elements=[otp_challenges.c.tenant_id],
    set_={
        "code_hash": _challenge.excluded.code_hash,
        "expires_at": _challenge.excluded.expires_at,
        "created_at": _challenge.excluded.created_at,
    },
)

open_challenge = (
    select(otp_challenges.c.tenant_id, otp_challenges.c.code_hash)
    .join(tenants, tenants.c.id == otp_challenges.c.tenant_id)
    .where(
        tenants.c.slug == bindparam("tenant_slug"),
        tenant_is_shown,
        otp_challenges.c.expires_at > bindparam("now"),
        # One that lasts longer was made by a clock that stood ahead.
        otp_challenges.c.expires_at <= bindparam("latest"),
    )
)

# Of two right guesses at the same time, only one deletes the challenge.
take_challenge = delete(otp_challenges).where(
    otp_challenges.c.tenant_id == bindparam("tenant_id"), otp_challenges.c.code_hash == bindparam("code_hash")
)

_link = upsert(tenant_sign_in_links)

# A new link replaces the previous one.
store_link = _link.on_conflict_do_update(
    index_elements=[tenant_sign_in_links.c.tenant_id],
    set_={
        "token_hash": _link.excluded.token_hash,
        "expires_at": _link.excluded.expires_at,
        "created_at": _link.excluded.created_at,
    },
)

tenant_of_link = across_tenants(
    select(tenants.c.id, tenants.c.name, tenants.c.slug)
    .join(tenant_sign_in_links, tenant_sign_in_links.c.tenant_id == tenants.c.id)
    .where(
        tenant_sign_in_links.c.token_hash == bindparam("token_hash"),
        tenant_sign_in_links.c.expires_at > bindparam("now"),
        # One that is good for longer was made by a clock that stood ahead.
        tenant_sign_in_links.c.expires_at <= bindparam("latest"),
        tenant_is_shown,
    ),
    "the tenant is not known before its link is found",
)

# Deleting the row uses the link: of two at the same time, the second deletes nothing.
take_link = delete(tenant_sign_in_links).where(
    tenant_sign_in_links.c.tenant_id == bindparam("tenant_id"),
    tenant_sign_in_links.c.token_hash == bindparam("token_hash"),
    tenant_sign_in_links.c.expires_at > bindparam("now"),
    tenant_sign_in_links.c.expires_at <= bindparam("latest"),
)

insert_session = insert(tenant_sessions).returning(tenant_sessions.c.id)

delete_session = delete(tenant_sessions).where(
    tenant_sessions.c.tenant_id == bindparam("tenant_id"), tenant_sessions.c.id == bindparam("session_id")
)

_ended = and_(
    or_(
        tenant_sessions.c.expires_at < bindparam("expired_before"),
        tenant_sessions.c.last_activity < bindparam("idle_before"),
    ),
    # Those of a tenant that is being deleted go with it, and the trail has told all about it.
    is_shown(tenant_sessions),
)

delete_ended_sessions = across_tenants(
    some_of(tenant_sessions, _ended).returning(tenant_sessions.c.tenant_id),
    "the hourly purge removes what has ended, of all tenants",
)

delete_ended_challenges = across_tenants(
    hidden_too(
        some_of(otp_challenges, otp_challenges.c.expires_at < bindparam("now")),
        "it removes what a deletion would remove later",
    ),
    "the hourly purge removes what has ended, of all tenants",
)

delete_ended_links = across_tenants(
    hidden_too(
        some_of(tenant_sign_in_links, tenant_sign_in_links.c.expires_at < bindparam("now")),
        "it removes what a deletion would remove later",
    ),
    "the hourly purge removes what has ended, of all tenants",
)
