"""Snapshots of Stripe's objects, as it has answered them: facts that stand above what was known before."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

from app.context import Context
from app.database.connections import WriteConnection
from app.providers.payments import StripeObject
from app.services.billing.fact_log import add_fact
from app.services.billing.ordering import canonical
from sql.statements import fact_log as statements


async def add_snapshot(
    conn: WriteConnection,
    ctx: Context,
    customer_id: int,
    found: StripeObject,
    *,
    source: Literal["gateway", "reconciliation"],
    asked_at: datetime,
) -> bool:
    """Store how an object stands in the caller's transaction; False if exactly that is stored already.

    ``asked_at`` is when Stripe was asked, by the clock of billing. The snapshot covers what is stored of that second:
    whatever arrives of it later may be newer.
    """
    object_id, at = str(found["id"]), asked_at.replace(microsecond=0)
    since = {"customer_id": customer_id, "object_id": object_id, "since": at}
    covers = sorted(await conn.many(statements.references_since, str, **since))
    digest = hashlib.sha256(canonical([found, covers])).hexdigest()[:32]
    return await add_fact(
        conn,
        ctx,
        customer_id,
        source=source,
        type=f"{found['object']}.fetched",
        reference=f"{source}:{object_id}:{int(at.timestamp())}:{digest}",
        object_id=object_id,
        happened_at=at,
        payload={"object": found, "covers": covers, "fetched_at": ctx.now()},
    )
