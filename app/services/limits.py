"""Limits that hold exactly, however many workers count."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Context
from app.errors import RateLimitedError
from sql.statements import limits as statements


class Window(NamedTuple):
    """What was counted in the window that is open, and when it ends."""

    hits: int
    ends_at: datetime


async def take(ctx: Context, what: str, whom: str, *, most: int, seconds: int) -> None:
    """Count one of ``most`` that ``whom`` has in a window of so many seconds, which begins with its first.

    Raises RateLimitedError, with the seconds until the window ends.
    """
    runtime = ctx.runtime
    if runtime.settings.rate_limits == "off":
        return
    now = runtime.clock.now()
    counted = {
        "key_hash": runtime.keys.window_hash(what, whom),
        "now": now,
        "ends_at": now + timedelta(seconds=seconds),
        "most": most,
    }
    async with runtime.db.write_alone() as conn:
        window = await conn.one(statements.count_hit, Window, **counted)
    if window.hits > most:
        raise RateLimitedError(retry_after=max(1, math.ceil((window.ends_at - now).total_seconds())))
