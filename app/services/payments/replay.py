"""Replay: what Stripe has told is handled again; what has followed once does not follow twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import StripeEventNotFoundError, ValidationError
from app.events import Event, EventType, record
from app.services.billing.fact_log import FOLD
from app.services.directory.lookup import find_tenant
from sql.statements import inbox as statements


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are handled again, of how many customers."""

    events: int
    customers: int


async def replay(
    ctx: Context, *, tenant_slug: str | None = None, event_id: str | None = None, failed: bool = False
) -> Replayed:
    """Handle again all events of a tenant, one event, or those that have failed; an errand does it soon.

    Raises ValidationError unless exactly one of them is chosen, TenantNotFoundError, StripeEventNotFoundError.
    """
    chosen = {"tenant": tenant_slug, "event": event_id, "failed": failed or None}
    if len([name for name, value in chosen.items() if value is not None]) != 1:
        raise ValidationError.of("tenant", "choose a tenant, an event, or what has failed", kind="one_of")
    async with ctx.write() as conn:
        tenant_id = None
        if tenant_slug is not None:
            tenant_id = (await find_tenant(conn, tenant_slug)).id
            customers: Sequence[int] = await conn.many(statements.replay_tenant, int, of_tenant_id=tenant_id)
        elif event_id is not None:
            customers = await _one(conn, event_id)
        else:
            customers = await conn.many(statements.replay_failed, int)
        metadata = {"events": len(customers), **{name: value for name, value in chosen.items() if value}}
        title = f"{len(customers)} event{'' if len(customers) == 1 else 's'} of Stripe replayed"
        await record(conn, ctx, Event(EventType.STRIPE_EVENTS_REPLAYED, title, tenant_id=tenant_id, metadata=metadata))
    for customer_id in sorted(set(customers)):
        ctx.runtime.enqueue(FOLD, customer_id)
    return Replayed(len(customers), len(set(customers)))


async def _one(conn: WriteConnection, event_id: str) -> Sequence[int]:
    customers = await conn.many(statements.replay_event, int, of_reference=event_id)
    if not customers:
        raise StripeEventNotFoundError(event_id=event_id)
    return customers
