"""Messages to tenants: asked for in the transaction of what they tell, and sent after it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from app.clock import SystemClock
from app.context import Context
from app.db import WriteConnection
from sql.statements import deliveries as statements

Kind = Literal["one_time_password", "welcome"]


async def request_delivery(conn: WriteConnection, kind: Kind, slug: str, *, at: datetime | None = None) -> int:
    """Note in the caller's transaction that a message is to be sent; answers the delivery's id."""
    row = {"kind": kind, "tenant_slug": slug, "created_at": at or SystemClock().now()}
    return await conn.one(statements.insert_delivery, int, **row)


async def enqueue_deliveries(ctx: Context, ids: Iterable[int]) -> None:
    """Have committed deliveries sent soon; whoever sends sweeps up what waits."""
