"""Who an operator is: the account behind a signed cookie, or the token that a program shows."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.access.keys import Keys
from app.access.permissions import Role
from app.context import Actor
from app.database.connections import as_batch
from app.errors import ApiTokenInvalidError, SessionExpiredError, SessionInvalidError
from app.runtime import Coalesced, Runtime
from sql.statements import api_tokens
from sql.statements import operators as statements

# Activity is written at most this often.
ACTIVITY_SECONDS = 60
# By this beginning a token is told from a device's, and found where it has leaked.
API_TOKEN_PREFIX = "pat_"  # noqa: S105 - how tokens begin


class OperatorSession(NamedTuple):
    """A session and the account it belongs to; ``expires_at`` is the absolute end."""

    id: int
    operator_id: int
    email: str
    name: str | None
    role: str
    last_activity: datetime
    expires_at: datetime


class ApiToken(NamedTuple):
    """A token that is not revoked."""

    id: int
    name: str
    role: str
    expires_at: datetime
    last_used_at: datetime | None


async def cookie_actor(runtime: Runtime, cookie: str) -> Actor:
    """The operator behind a cookie, read anew at every request and shared by a batch.

    Raises SessionInvalidError for one that we did not sign or whose session has ended, SessionExpiredError when it
    was idle for too long or has reached its end.
    """
    if (token := read_cookie(runtime.keys, cookie)) is None:
        raise SessionInvalidError
    token_hash = runtime.keys.token_hash("operator session", token)
    found = await runtime.coalescer(SESSIONS).ask(token_hash)
    if found is None:
        raise SessionInvalidError
    now = runtime.clock.now()
    idle = timedelta(seconds=runtime.settings.operator_idle_seconds)
    if found.expires_at <= now or found.last_activity + idle <= now:
        raise SessionExpiredError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if found.last_activity < before:
        async with runtime.db.write_autocommit() as conn:
            await conn.affected(statements.touch_session, session_id=found.id, before=before, now=now)
    permissions = Role(found.role).permissions
    return Actor("operator", found.email, id=found.operator_id, session_id=found.id, permissions=permissions)


async def token_actor(runtime: Runtime, token: str) -> Actor:
    """The program behind an API token, read anew at every request and shared by a batch.

    Raises ApiTokenInvalidError.
    """
    token_hash = runtime.keys.token_hash("API token", token)
    found = await runtime.coalescer(TOKENS).ask(token_hash)
    now = runtime.clock.now()
    if found is None or found.expires_at <= now:
        raise ApiTokenInvalidError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if found.last_used_at is None or found.last_used_at < before:
        async with runtime.db.write_autocommit() as conn:
            await conn.affected(api_tokens.touch_api_token, token_id=found.id, before=before, now=now)
    return Actor("operator", f"token {found.name}", id=found.id, permissions=Role(found.role).permissions)


async def _sessions(runtime: Runtime, hashes: Sequence[bytes]) -> list[OperatorSession | None]:
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.sessions_by_token, batch=_asked(hashes))
    found = {row.token_hash: OperatorSession(*tuple(row)[1:]) for row in rows}
    return [found.get(token_hash) for token_hash in hashes]


async def _tokens(runtime: Runtime, hashes: Sequence[bytes]) -> list[ApiToken | None]:
    async with runtime.db.read() as conn:
        rows = await conn.rows(api_tokens.api_tokens_by_hash, batch=_asked(hashes))
    found = {row.token_hash: ApiToken(*tuple(row)[1:]) for row in rows}
    return [found.get(token_hash) for token_hash in hashes]


def _asked(hashes: Sequence[bytes]) -> str:
    return as_batch([{"token_hash": token_hash.hex()} for token_hash in set(hashes)])


SESSIONS = Coalesced("operator_session", _sessions)
TOKENS = Coalesced("api_token", _tokens)


def signed_cookie(keys: Keys, token: str) -> str:
    """The cookie that carries a session's token; one that we did not sign asks the database nothing."""
    return f"{token}.{_mark(keys, token)}"


def read_cookie(keys: Keys, value: str) -> str | None:
    """The token inside a cookie that we signed, or None."""
    token, _, mark = value.rpartition(".")
    if not value.isascii() or not hmac.compare_digest(mark, _mark(keys, token)):
        return None
    return token


def _mark(keys: Keys, token: str) -> str:
    return urlsafe_b64encode(keys.cookie_mark(token)).decode().rstrip("=")
