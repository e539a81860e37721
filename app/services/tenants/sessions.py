"""Tenant sessions: which tenant a session token belongs to, and how long it is good for."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.clock import CLOCKS_DIFFER
from app.context import Actor, Context, Session
from app.database.connections import WriteConnection, as_batch
from app.errors import SessionExpiredError, SessionInvalidError, SessionNotSentError
from app.events import Event, EventType, record
from app.runtime import Coalesced, Runtime
from app.services.directory.lookup import Tenant
from sql.statements import sign_in as statements

# Activity is written at most this often.
ACTIVITY_SECONDS = 60
TOKEN_BYTES = 32

Way = Literal["one-time password", "sign-in link"]


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as its tenant sees it; ``expires_at`` is the absolute end."""

    tenant_id: int
    tenant_slug: str
    expires_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session's token and its tenant; nothing moves ``expires_at``."""

    session_token: str
    expires_at: datetime
    tenant_id: int
    tenant_slug: str


async def begin_session(conn: WriteConnection, ctx: Context, tenant: Tenant, *, by: Way) -> SignedIn:
    """Sign a tenant in with a new token, in the caller's transaction, which keeps the tenant."""
    runtime, now = ctx.runtime, ctx.now()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = now + timedelta(seconds=runtime.settings.session_seconds)
    row = {
        "tenant_id": tenant.id,
        "token_hash": token_hash_of(runtime, token),
        "last_activity": now,
        "expires_at": expires_at,
        "created_at": now,
    }
    session_id = await conn.one(statements.insert_session, int, **row)
    as_tenant = ctx._replace(actor=Actor("tenant", tenant.name, tenant.id, session_id=session_id))
    metadata = {"session_id": session_id}
    await record(
        conn,
        as_tenant,
        Event(EventType.SESSION_CREATED, f"Session of {tenant.slug} begun", tenant_id=tenant.id, metadata=metadata),
        Event(
            EventType.USER_LOGIN,
            f"{tenant.slug} signed in",
            tenant_id=tenant.id,
            metadata={**metadata, "by": by},
        ),
    )
    return SignedIn(token, expires_at, tenant.id, tenant.slug)


def session_state(ctx: Context) -> SessionState:
    """The session that asks, as it was read when its token was checked; raises SessionNotSentError without one."""
    session, _ = _own_session(ctx)
    return SessionState(session.tenant_id, session.tenant_slug, session.expires_at, session.created_at)


def refreshed(ctx: Context) -> SignedIn:
    """The session that asks, its token unchanged; its activity was noted, which is all that a refresh does."""
    session, token = _own_session(ctx)
    return SignedIn(token, session.expires_at, session.tenant_id, session.tenant_slug)


async def sign_out(ctx: Context) -> None:
    """End the session of the request's token; an unknown token is one whose session has ended before."""
    if ctx.session_token is None:
        raise SessionNotSentError
    token_hash = token_hash_of(ctx.runtime, ctx.session_token.get_secret_value())
    if (session := await ctx.runtime.coalescer(SESSIONS).ask(token_hash)) is None:
        return
    async with ctx.write() as conn:
        if await conn.affected(statements.delete_session, tenant_id=session.tenant_id, session_id=session.id):
            title, metadata = f"{session.tenant_slug} signed out", {"session_id": session.id}
            event = Event(EventType.USER_LOGOUT, title, tenant_id=session.tenant_id, metadata=metadata)
            await record(conn, ctx._replace(actor=session.actor), event)


def _own_session(ctx: Context) -> tuple[Session, str]:
    if ctx.session is None or ctx.session_token is None:
        raise SessionNotSentError
    return ctx.session, ctx.session_token.get_secret_value()


async def authenticate(runtime: Runtime, token: str) -> Session:
    """The session behind a token, read anew at every request and shared by a batch.

    Raises SessionInvalidError for an unknown token, SessionExpiredError after its absolute end or when it
    was idle for too long. Its activity is noted once a minute.
    """
    session = await runtime.coalescer(SESSIONS).ask(token_hash_of(runtime, token))
    if session is None:
        raise SessionInvalidError
    now = runtime.clock.now()
    if not _is_good(runtime, session, now):
        raise SessionExpiredError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if session.last_activity < before:
        async with runtime.db.write_autocommit() as conn:
            values = {"of_tenant_id": session.tenant_id, "session_id": session.id, "before": before, "now": now}
            await conn.affected(statements.touch_session, **values)
    return session


async def good_sessions(runtime: Runtime, token_hashes: Collection[bytes]) -> set[bytes]:
    """Which of these tokens belong to sessions that have not ended, with one statement; it is no activity of theirs."""
    sessions = await _read(runtime, list(token_hashes))
    now = runtime.clock.now()
    return {
        token_hash
        for token_hash, session in zip(token_hashes, sessions, strict=True)
        if session is not None and _is_good(runtime, session, now)
    }


def _is_good(runtime: Runtime, session: Session, now: datetime) -> bool:
    idle = timedelta(seconds=runtime.settings.session_idle_seconds)
    # One that lasts longer was begun by a clock that stood ahead.
    latest = now + timedelta(seconds=runtime.settings.session_seconds) + CLOCKS_DIFFER
    return now < session.expires_at <= latest and now < session.last_activity + idle


def token_hash_of(runtime: Runtime, token: str) -> bytes:
    """The keyed hash by which a session is found."""
    return runtime.keys.token_hash("tenant session", token)


async def _read(runtime: Runtime, hashes: Sequence[bytes]) -> list[Session | None]:
    batch = as_batch([{"token_hash": token_hash.hex()} for token_hash in set(hashes)])
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.sessions_by_token, batch=batch)
    session_of = {row.token_hash: Session(*tuple(row)[1:]) for row in rows}
    return [session_of.get(token_hash) for token_hash in hashes]


SESSIONS = Coalesced("session", _read)
