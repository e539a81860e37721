"""What is on its way to tenants: asking for it, one attempt after the other, and how it ended."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from sql.tables import deliveries

# Spelt out, so that the index over what waits serves it whatever the plan is prepared for.
_WAITS = deliveries.c.state == literal_column("'waiting'")

insert_delivery = insert(deliveries).returning(deliveries.c.id)

# Nothing comes back once a delivery has ended: whoever repeats it has nothing left to do.
begin_attempt = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("of_id"), _WAITS)
    .values(attempts=deliveries.c.attempts + 1)
    .returning(
        deliveries.c.id, deliveries.c.kind, deliveries.c.tenant_slug, deliveries.c.attempts, deliveries.c.created_at
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

delete_old_deliveries = delete(deliveries).where(deliveries.c.created_at < bindparam("before"))
