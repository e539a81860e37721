"""Messages to tenants: asked for in the transaction of what they tell, and sent after it by the durable engine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from app.clock import SystemClock
from app.context import Context
from app.db import WriteConnection
from sql.statements import deliveries as statements

Kind = Literal["one_time_password", "welcome"]

# The errand's name; with the row's id it is the id under which the engine knows it.
DELIVERY = "delivery"


async def request_delivery(conn: WriteConnection, kind: Kind, slug: str, *, at: datetime | None = None) -> int:
    """Note in the caller's transaction that a message is to be sent; answers the delivery's id.

    The row is all there is: it holds no secret, and looks the same for a slug that nobody has. Hand the id to
    ``enqueue_deliveries`` after the commit. ``at`` is when it was asked for, the machine's now unless it is given.
    """
    row = {"kind": kind, "tenant_slug": slug, "created_at": at or SystemClock().now()}
    return await conn.one(statements.insert_delivery, int, **row)


async def enqueue_deliveries(ctx: Context, ids: Iterable[int]) -> None:
    """Have committed deliveries sent soon; one that is missed here, by a crash or an outage, is swept up later."""
    for delivery_id in ids:
        ctx.runtime.enqueue(DELIVERY, delivery_id)
