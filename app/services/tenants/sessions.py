"""Tenant sessions: whose a token is, and how long it is good for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Actor
from app.db import as_batch
from app.errors import SessionExpiredError, SessionInvalidError
from app.runtime import Coalesced, Runtime
from sql.statements import sign_in as statements

# Activity is written at most this often.
ACTIVITY_SECONDS = 60


class Session(NamedTuple):
    """A session and its tenant; ``expires_at`` is the absolute end, which nothing moves."""

    id: int
    tenant_id: int
    tenant_slug: str
    tenant_name: str
    last_activity: datetime
    expires_at: datetime
    created_at: datetime

    @property
    def actor(self) -> Actor:
        """The tenant, as the audit trail will name it."""
        return Actor("tenant", self.tenant_name, self.tenant_id, session_id=self.id)


async def authenticate(runtime: Runtime, token: str) -> Session:
    """The session behind a token, read anew at every request and shared by a batch.

    Raises SessionInvalidError for a token that is not known, SessionExpiredError after its absolute end or when it
    was idle for too long. Its activity is noted once a minute.
    """
    found = await runtime.coalescer(SESSIONS).ask(runtime.keys.token_hash("tenant session", token))
    if found is None:
        raise SessionInvalidError
    now = runtime.clock.now()
    idle = timedelta(seconds=runtime.settings.session_idle_seconds)
    if found.expires_at <= now or found.last_activity + idle <= now:
        raise SessionExpiredError
    before = now - timedelta(seconds=ACTIVITY_SECONDS)
    if found.last_activity < before:
        async with runtime.db.write_alone() as conn:
            touched = {"of_tenant_id": found.tenant_id, "session_id": found.id, "before": before, "now": now}
            await conn.affected(statements.touch_session, **touched)
    return found


async def _read(runtime: Runtime, hashes: Sequence[bytes]) -> list[Session | None]:
    batch = as_batch([{"token_hash": token_hash.hex()} for token_hash in set(hashes)])
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.sessions_by_token, batch=batch)
    found = {row.token_hash: Session(*tuple(row)[1:]) for row in rows}
    return [found.get(token_hash) for token_hash in hashes]


SESSIONS = Coalesced("session", _read)
