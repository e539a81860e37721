"""Leaving Stripe: a tenant that is being deleted is not charged any more, whatever else of it is still there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from app.context import Context
from app.jobs.work import Errand
from app.services.payments.upgrades import ENDED
from app.services.tenants.deletion import DEPARTURE
from sql.statements import tenant_deletions as statements

# Seconds after which a departure that is not done is put into the queue again; how many at a time.
MISSED_SECONDS: Final = 60
SWEPT_AT_ONCE: Final = 100


class _Departure(NamedTuple):
    """A deletion whose tenant has a customer at Stripe that may still pay."""

    id: int
    tenant_id: int
    stripe_customer_id: str


async def leave_stripe(ctx: Context, deletion_id: int) -> Mapping[str, object]:
    """End the living subscriptions of a deleted tenant and close the sessions in which it could still pay.

    It may run twice: what has ended stays so. Raises what the gateway raises; then it is tried again.
    """
    if (gateway := ctx.runtime.payments) is None:
        return {"state": "not configured"}
    async with ctx.read() as reader:
        departure = await reader.maybe(statements.departure, _Departure, deletion_id=deletion_id)
    if departure is None:
        return {"state": "done before"}
    ended, closed = 0, 0
    for subscription in await gateway.customer_objects("subscription", departure.stripe_customer_id):
        if subscription["status"] not in ENDED:
            subscription_id = str(subscription["id"])
            await gateway.cancel_now(subscription_id=subscription_id, key=f"departure:{subscription_id}")
            ended += 1
    for session in await gateway.customer_objects("checkout.session", departure.stripe_customer_id):
        if session["status"] == "open":
            session_id = str(session["id"])
            await gateway.expire_session(session_id=session_id, key=f"departure:{session_id}")
            closed += 1
    async with ctx.write_autocommit() as conn:
        await conn.affected(statements.finish_departure, of_tenant_id=departure.tenant_id, now=ctx.now())
    return {"state": "done", "subscriptions_ended": ended, "sessions_closed": closed}


async def departures_waiting(ctx: Context) -> list[int]:
    """The deletions whose tenants may still be charged, though they should not by now."""
    if ctx.runtime.payments is None:
        return []
    before = ctx.now() - timedelta(seconds=MISSED_SECONDS)
    async with ctx.read() as conn:
        return await conn.many(statements.departures_waiting, int, before=before, max_rows=SWEPT_AT_ONCE)


DEPARTURES = Errand(DEPARTURE, leave_stripe, departures_waiting)
