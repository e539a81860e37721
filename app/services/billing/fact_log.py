"""Adding what the portal itself knows to the log of a customer at Stripe, from which the tenant's state is folded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from app.context import Context
from app.database.connections import WriteConnection
from app.services.billing.facts import Source
from sql.statements import fact_log as statements

# The errand that folds what waits of a customer; the row's id is the customer's.
FOLD: Final = "fold_billing"


async def add_fact(
    conn: WriteConnection,
    ctx: Context,
    customer_id: int,
    *,
    source: Source,
    type: str,  # noqa: A002 - the fact's own word
    reference: str,
    object_id: str | None,
    happened_at: datetime,
    payload: Mapping[str, Any],
) -> bool:
    """Store a fact in the caller's transaction; False if there is one with this reference already.

    ``happened_at`` is by the clock of billing and kept to the second. After the commit the caller enqueues ``FOLD``
    for the customer.
    """
    row = {
        "customer_id": customer_id,
        "source": source,
        "reference": reference,
        "type": type,
        "object_id": object_id,
        "happened_at": happened_at.replace(microsecond=0),
        "payload": orjson.dumps(payload, option=orjson.OPT_UTC_Z).decode(),
        "received_at": ctx.now(),
    }
    return await conn.affected(statements.insert_fact, **row) > 0
