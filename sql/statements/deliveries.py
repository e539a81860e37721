"""Deliveries of messages to tenants: requesting one, counting its attempts, recording how it ended."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, literal_column, select, update

from sql.removal import some_of
from sql.tables import deliveries

# A literal, because with a parameter a generic plan could not use the partial index over waiting deliveries.
_WAITS = deliveries.c.state == literal_column("'waiting'")

insert_delivery = insert(deliveries).returning(deliveries.c.id)

# Returns no row once a delivery has ended, so a repeated run of its errand sends nothing.
begin_attempt = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("of_id"), _WAITS)
    .values(attempts=deliveries.c.attempts + 1)
    .returning(
        deliveries.c.id,
        deliveries.c.kind,
        deliveries.c.tenant_slug,
        deliveries.c.attempts,
        deliveries.c.created_at,
        deliveries.c.contact_change_id,
    )
)

finish_delivery = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("of_id"), _WAITS)
    .values(state=bindparam("outcome"), failure=bindparam("reason"), finished_at=bindparam("now"))
)

deliveries_waiting = (
    select(deliveries.c.id)
    .where(_WAITS, deliveries.c.created_at < bindparam("before"))
    .order_by(deliveries.c.id)
    .limit(bindparam("max_rows"))
)

delete_old_deliveries = some_of(deliveries, deliveries.c.created_at < bindparam("before"))
