"""Rate limits counted in the database, so that they are exact for any number of workers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from app.context import Context
from app.database.connections import WriteConnection, moment
from sql.statements import limits as statements


@dataclass(frozen=True, slots=True)
class ExactLimit:
    """At most ``max_hits`` per key in a window of ``seconds``; a window begins with its first hit."""

    name: str
    max_hits: int
    seconds: int


async def count_hit(conn: WriteConnection, ctx: Context, limit: ExactLimit, key: str) -> int | None:
    """Count one hit in the caller's transaction; returns None, or the seconds until the window ends if it is full.

    ``key`` is what is limited, such as an address; only its keyed hash is stored. A hit in a full window is not
    counted. A clock that steps ahead ends windows early, and one that is put back keeps their hits: no window lasts
    longer than ``limit.seconds`` from then. With rate limits off the answer is always None.
    """
    if ctx.runtime.settings.rate_limits == "off":
        return None
    key_hash = ctx.runtime.keys.window_hash(limit.name, key)
    now = ctx.now()
    ends_at = now + timedelta(seconds=limit.seconds)
    first = {"key_hash": key_hash, "hits": 1, "ends_at": ends_at}
    hits = await conn.maybe(statements.count_hit, int, **first, now=now, max_hits=limit.max_hits)
    if hits is not None and hits <= limit.max_hits:
        return None
    full_until = await conn.maybe(statements.window_end, moment, key_hash=key_hash)
    return min(limit.seconds, max(1, math.ceil((full_until - now).total_seconds()))) if full_until else 1


async def give_hit_back(conn: WriteConnection, ctx: Context, limit: ExactLimit, key: str) -> None:
    """Take one hit off the running window, in the caller's transaction: it turned out not to be one."""
    key_hash = ctx.runtime.keys.window_hash(limit.name, key)
    await conn.affected(statements.give_hit_back, of_key_hash=key_hash, now=ctx.now())


async def forget_hits(conn: WriteConnection, ctx: Context, limit: ExactLimit, key: str) -> None:
    """Begin anew: the next hit of this key begins a window, in the caller's transaction."""
    await conn.affected(statements.delete_window, of_key_hash=ctx.runtime.keys.window_hash(limit.name, key))
