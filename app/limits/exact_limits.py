"""Limits counted in the database, so that they hold exactly however many workers count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from app.context import Context
from app.database.connections import WriteConnection, moment
from sql.statements import limits as statements


@dataclass(frozen=True, slots=True)
class ExactLimit:
    """How many hits a window of so many seconds takes; a window begins with its first hit."""

    what: str
    max_hits: int
    seconds: int


async def count_hit(conn: WriteConnection, ctx: Context, limit: ExactLimit, whom: str) -> int | None:
    """Count one hit in the caller's transaction; None if there was room, else the seconds until there is.

    Whom it is counted for is stored as a keyed hash only. A refused hit is not counted. With rate limits off there
    always is room.
    """
    if ctx.runtime.settings.rate_limits == "off":
        return None
    key_hash = ctx.runtime.keys.window_hash(limit.what, whom)
    now = ctx.now()
    ends_at = now + timedelta(seconds=limit.seconds)
    first = {"key_hash": key_hash, "hits": 1, "ends_at": ends_at}
    if await conn.maybe(statements.count_hit, int, **first, now=now, max_hits=limit.max_hits) is not None:
        return None
    full_until = await conn.maybe(statements.window_end, moment, key_hash=key_hash)
    return max(1, math.ceil((full_until - now).total_seconds())) if full_until else 1
