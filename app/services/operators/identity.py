"""Which operator or program sends a request: the account behind a signed cookie, or the program behind a token."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.access.keys import Keys
from app.access.permissions import Permission, Role
from app.clock import CLOCKS_DIFFER
from app.context import Actor
from app.database.connections import as_batch
from app.errors import ApiTokenInvalidError, SessionExpiredError, SessionInvalidError
from app.runtime import Coalesced, Runtime
from sql.statements import api_tokens
from sql.statements import operators as statements

# Activity is written at most this often.
ACTIVITY_SECONDS = 60
# With this beginning a token is no device's, and a search for leaked secrets finds it.
API_TOKEN_PREFIX = "pat_"  # noqa: S105 - how tokens begin


class OperatorSession(NamedTuple):
    """A session and its account; ``expires_at`` is the absolute end."""

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
    session = await runtime.coalescer(SESSIONS).ask(session_hash(runtime, cookie))
    if session is None:
        raise SessionInvalidError
    now = runtime.clock.now()
    if not _is_good(runtime, session, now):
        raise SessionExpiredError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if session.last_activity < before:
        async with runtime.db.write_autocommit() as conn:
            await conn.affected(statements.touch_session, session_id=session.id, before=before, now=now)
    permissions = Role(session.role).permissions
    return Actor("operator", session.email, id=session.operator_id, session_id=session.id, permissions=permissions)


async def token_actor(runtime: Runtime, text: str) -> Actor:
    """The program behind an API token, read anew at every request and shared by a batch.

    Raises ApiTokenInvalidError.
    """
    token = await runtime.coalescer(TOKENS).ask(api_token_hash(runtime, text))
    now = runtime.clock.now()
    if token is None or token.expires_at <= now:
        raise ApiTokenInvalidError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if token.last_used_at is None or token.last_used_at < before:
        async with runtime.db.write_autocommit() as conn:
            await conn.affected(api_tokens.touch_api_token, token_id=token.id, before=before, now=now)
    return Actor("program", f"token {token.name}", id=token.id, permissions=Role(token.role).permissions)


async def operator_permissions(runtime: Runtime, token_hashes: Collection[bytes]) -> dict[bytes, frozenset[Permission]]:
    """What operators may do whose sessions have not ended, by these hashes; it is no activity of theirs."""
    sessions, now = await _sessions(runtime, list(token_hashes)), runtime.clock.now()
    return {
        token_hash: Role(session.role).permissions
        for token_hash, session in zip(token_hashes, sessions, strict=True)
        if session is not None and _is_good(runtime, session, now)
    }


async def token_permissions(runtime: Runtime, token_hashes: Collection[bytes]) -> dict[bytes, frozenset[Permission]]:
    """What programs may do whose API tokens are good, by these hashes, with one statement."""
    tokens, now = await _tokens(runtime, list(token_hashes)), runtime.clock.now()
    return {
        token_hash: Role(token.role).permissions
        for token_hash, token in zip(token_hashes, tokens, strict=True)
        if token is not None and token.expires_at > now
    }


def session_hash(runtime: Runtime, cookie: str) -> bytes:
    """The keyed hash of the session behind a cookie; raises SessionInvalidError for one that we did not sign."""
    if (token := read_cookie(runtime.keys, cookie)) is None:
        raise SessionInvalidError
    return runtime.keys.token_hash("operator session", token)


def api_token_hash(runtime: Runtime, text: str) -> bytes:
    """The keyed hash by which an API token is found."""
    return runtime.keys.token_hash("API token", text)


def _is_good(runtime: Runtime, session: OperatorSession, now: datetime) -> bool:
    idle = timedelta(seconds=runtime.settings.operator_idle_seconds)
    # One that lasts longer was begun by a clock that stood ahead.
    latest = now + timedelta(seconds=runtime.settings.operator_session_seconds) + CLOCKS_DIFFER
    return now < session.expires_at <= latest and now < session.last_activity + idle


async def _sessions(runtime: Runtime, hashes: Sequence[bytes]) -> list[OperatorSession | None]:
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.sessions_by_token, batch=_batch_of(hashes))
    session_of = {row.token_hash: OperatorSession(*tuple(row)[1:]) for row in rows}
    return [session_of.get(token_hash) for token_hash in hashes]


async def _tokens(runtime: Runtime, hashes: Sequence[bytes]) -> list[ApiToken | None]:
    async with runtime.db.read() as conn:
        rows = await conn.rows(api_tokens.api_tokens_by_hash, batch=_batch_of(hashes))
    token_of = {row.token_hash: ApiToken(*tuple(row)[1:]) for row in rows}
    return [token_of.get(token_hash) for token_hash in hashes]


def _batch_of(hashes: Sequence[bytes]) -> str:
    return as_batch([{"token_hash": token_hash.hex()} for token_hash in set(hashes)])


SESSIONS = Coalesced("operator_session", _sessions)
TOKENS = Coalesced("api_token", _tokens)


def signed_cookie(keys: Keys, token: str) -> str:
    """The cookie that carries a session's token; it is signed, so that a forged one costs the database nothing."""
    return f"{token}.{_mark(keys, token)}"


def read_cookie(keys: Keys, value: str) -> str | None:
    """The token inside a cookie that we signed, or None."""
    token, _, mark = value.rpartition(".")
    if not value.isascii() or not hmac.compare_digest(mark, _mark(keys, token)):
        return None
    return token


def _mark(keys: Keys, token: str) -> str:
    return urlsafe_b64encode(keys.cookie_mark(token)).decode().rstrip("=")
