"""Operators' sessions: how one begins, ends, and is removed when its time is over."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, NamedTuple

from app.context import Actor, Context
from app.database.connections import WriteConnection
from app.database.removal import remove_all
from app.events import Event, EventType, record
from app.services.operators.identity import read_cookie, signed_cookie
from sql.statements import operators as statements

# A session is kept so long after its end, so that an operator who comes back reads that it has expired.
KEEP_SESSIONS = timedelta(days=1)

Way = Literal["password", "sign-in link", "identity provider"]


class SignedIn(NamedTuple):
    """The value of a new session's cookie, and the seconds until its end."""

    cookie: str
    seconds: int


class EndedSession(NamedTuple):
    """A session that has been ended, and its account."""

    id: int
    operator_id: int
    email: str


async def begin_session(
    conn: WriteConnection, ctx: Context, *, operator_id: int, email: str, by: Way, checked_hash: str | None = None
) -> SignedIn | None:
    """Sign an operator in with a new token; None if the account is disabled.

    ``checked_hash`` is the hash that a password was compared with: None also if the account has another one by now.
    """
    token = secrets.token_urlsafe(32)
    now = ctx.now()
    seconds = ctx.runtime.settings.operator_session_seconds
    session_id = await conn.maybe(
        statements.insert_session,
        int,
        operator_id=operator_id,
        checked_hash=checked_hash,
        token_hash=ctx.runtime.keys.token_hash("operator session", token),
        now=now,
        expires_at=now + timedelta(seconds=seconds),
    )
    if session_id is None:
        return None
    as_operator = ctx._replace(actor=Actor("operator", email, id=operator_id, session_id=session_id))
    await record(conn, as_operator, Event(EventType.USER_LOGIN, f"{email} signed in", metadata={"by": by}))
    return SignedIn(signed_cookie(ctx.runtime.keys, token), seconds)


async def sign_out(ctx: Context, cookie: str) -> None:
    """End the session of a cookie, if there is one."""
    if (token := read_cookie(ctx.runtime.keys, cookie)) is None:
        return
    token_hash = ctx.runtime.keys.token_hash("operator session", token)
    async with ctx.write() as conn:
        session = await conn.maybe(statements.end_session, EndedSession, token_hash=token_hash)
        if session is not None:
            actor = Actor("operator", session.email, id=session.operator_id, session_id=session.id)
            await record(conn, ctx._replace(actor=actor), Event(EventType.USER_LOGOUT, f"{session.email} signed out"))


async def purge_operator_sessions(ctx: Context) -> Mapping[str, int]:
    """Remove sessions and sign-in links whose time is over; answers how many of each."""
    now = ctx.now()
    ended_before = now - KEEP_SESSIONS
    idle_since = ended_before - timedelta(seconds=ctx.runtime.settings.operator_idle_seconds)
    db = ctx.runtime.db
    sessions = await remove_all(db, statements.end_stale_sessions, ended_before=ended_before, idle_since=idle_since)
    links = await remove_all(db, statements.delete_stale_sign_in_links, now=now)
    return {"operator_sessions": sessions, "sign_in_links": links}
