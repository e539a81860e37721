"""Removing what has ended: sessions, challenges, limits, and messages that nobody asks about any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from app.context import Context
from app.database.removal import ROWS_AT_ONCE, remove_all
from app.events import Event, EventType, record
from app.services.operators.sessions import purge_operator_sessions
from sql.statements import contact_changes, deliveries, limits, sign_in

# A session is kept so long after its end, so that a tenant who comes back reads that it has expired.
KEEP_SESSIONS = timedelta(days=1)
KEEP_DELIVERIES = timedelta(days=30)


async def purge_sessions(ctx: Context) -> Mapping[str, int]:
    """Remove what has ended; answers how many rows of each kind.

    The sessions of a tenant that go in one transaction are one event.
    """
    now = ctx.now()
    sessions = 0
    while removed := await _some_sessions(ctx):
        sessions += removed
    db, before = ctx.runtime.db, now - KEEP_DELIVERIES
    return {
        **await purge_operator_sessions(ctx),
        "sessions": sessions,
        "challenges": await remove_all(db, sign_in.delete_ended_challenges, now=now),
        "tenant_sign_in_links": await remove_all(db, sign_in.delete_ended_links, now=now),
        "contact_changes": await remove_all(db, contact_changes.delete_old_changes, before=before),
        "rate_windows": await remove_all(db, limits.delete_ended_windows, now=now),
        "deliveries": await remove_all(db, deliveries.delete_old_deliveries, before=before),
    }


async def _some_sessions(ctx: Context) -> int:
    ended_before = ctx.now() - KEEP_SESSIONS
    ends = {
        "expired_before": ended_before,
        "idle_before": ended_before - timedelta(seconds=ctx.runtime.settings.session_idle_seconds),
    }
    async with ctx.write() as conn:
        removed = Counter(await conn.many(sign_in.delete_ended_sessions, int, **ends, max_rows=ROWS_AT_ONCE))
        if removed:
            events = [
                Event(EventType.SESSION_EXPIRED, _title(count), tenant_id=tenant_id, metadata={"sessions": count})
                for tenant_id, count in sorted(removed.items())
            ]
            await record(conn, ctx, *events)
    return removed.total()


def _title(count: int) -> str:
    return f"{count} session{'s' if count > 1 else ''} expired"
