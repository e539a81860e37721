"""Limits counted in the database, so that they hold exactly however many workers count."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from app.context import Context
from app.db import WriteConnection
from sql.statements import limits as statements

NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """How many hits a window of so many seconds takes; a window begins with its first hit."""

    what: str
    most: int
    seconds: int


def place_of(address: str | None) -> str:
    """Whom an address is counted for: itself, or the network of an IPv6 one, whose holder has all of it.

    However it is written: proxies tell of IPv6 in brackets, of a port behind it, and of IPv4 as a part of IPv6.
    """
    text = address or ""
    if (found := _read(text)) is None:
        return text
    if found.version == 6:
        return str(found.ipv4_mapped or IPv6Network((int(found), NETWORK_BITS), strict=False))
    return str(found)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError):
        return ip_address(urlsplit(f"//{text}").hostname or "")
    return None


@dataclass(frozen=True, slots=True)
class _Window:
    ends_at: datetime


async def count_hit(conn: WriteConnection, ctx: Context, limit: Limit, whom: str) -> int | None:
    """Count one hit in the caller's transaction; None if there was room, else the seconds until there is.

    Whom it is counted for is stored as a keyed hash only. A refused hit is not counted. With rate limits off there
    always is room.
    """
    if ctx.runtime.settings.rate_limits == "off":
        return None
    key_hash = ctx.runtime.keys.window_hash(limit.what, whom)
    now = ctx.runtime.clock.now()
    ends_at = now + timedelta(seconds=limit.seconds)
    first = {"key_hash": key_hash, "hits": 1, "ends_at": ends_at}
    if await conn.maybe(statements.count_hit, int, **first, now=now, most=limit.most) is not None:
        return None
    window = await conn.maybe(statements.window_end, _Window, key_hash=key_hash)
    return max(1, math.ceil((window.ends_at - now).total_seconds())) if window else 1
