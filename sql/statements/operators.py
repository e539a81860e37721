"""Operators: who is behind a cookie or an API token."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select, update

from sql.tables import api_tokens, operator_sessions, operators

session_by_token = (
    select(
        operator_sessions.c.id,
        operator_sessions.c.operator_id,
        operators.c.email,
        operators.c.name,
        operators.c.role,
        operator_sessions.c.last_activity,
        operator_sessions.c.expires_at,
    )
    .join(operators, operators.c.id == operator_sessions.c.operator_id)
    .where(operator_sessions.c.token_hash == bindparam("token_hash"), operators.c.disabled_at.is_(None))
)

# At most once in a while, however many requests come at the same moment.
touch_session = (
    update(operator_sessions)
    .where(operator_sessions.c.id == bindparam("session_id"), operator_sessions.c.last_activity < bindparam("before"))
    .values(last_activity=bindparam("now"))
)

api_token_by_hash = select(
    api_tokens.c.id,
    api_tokens.c.name,
    api_tokens.c.role,
    api_tokens.c.expires_at,
    api_tokens.c.last_used_at,
).where(api_tokens.c.token_hash == bindparam("token_hash"), api_tokens.c.revoked_at.is_(None))

touch_api_token = (
    update(api_tokens)
    .where(
        api_tokens.c.id == bindparam("token_id"),
        or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < bindparam("before")),
    )
    .values(last_used_at=bindparam("now"))
)
