"""API tokens: identifying a request by its token; creating, listing and revoking tokens."""

from __future__ import annotations

from sqlalchemy import LargeBinary, bindparam, insert, or_, select, update

from sql.dialect import batch_rows
from sql.tables import api_tokens

_requests = batch_rows(token_hash=LargeBinary)

api_tokens_by_hash = (
    select(
        api_tokens.c.token_hash,
        api_tokens.c.id,
        api_tokens.c.name,
        api_tokens.c.role,
        api_tokens.c.expires_at,
        api_tokens.c.last_used_at,
    )
    .select_from(_requests)
    .join(api_tokens, api_tokens.c.token_hash == _requests.c.token_hash)
    .where(api_tokens.c.revoked_at.is_(None))
)

api_token_by_id = select(api_tokens.c.name, api_tokens.c.role).where(api_tokens.c.id == bindparam("token_id"))

# The condition on last_used_at limits the writes, however many requests come at the same moment.
touch_api_token = (
    update(api_tokens)
    .where(
        api_tokens.c.id == bindparam("token_id"),
        or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < bindparam("before")),
    )
    .values(last_used_at=bindparam("now"))
)

insert_api_token = insert(api_tokens).returning(api_tokens.c.id)

list_api_tokens = (
    select(
        api_tokens.c.id,
        api_tokens.c.name,
        api_tokens.c.role,
        api_tokens.c.hint,
        api_tokens.c.created_by,
        api_tokens.c.created_at,
        api_tokens.c.expires_at,
        api_tokens.c.last_used_at,
        api_tokens.c.revoked_at,
    )
    .where(api_tokens.c.id < bindparam("before_id"))
    .order_by(api_tokens.c.id.desc())
    .limit(bindparam("page_size"))
)

revoke_api_token = (
    update(api_tokens)
    .where(api_tokens.c.id == bindparam("of_token_id"), api_tokens.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
    .returning(api_tokens.c.name, api_tokens.c.hint)
)
