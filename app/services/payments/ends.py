"""Graces and trials by billing's clock: tenants are told of them, and what is over ends also while Stripe is silent."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from app.context import Actor, Context
from app.errors import TenantNotFoundError
from app.events import Event, EventType, record
from app.services.billing.clock import billing_now
from app.services.billing.customers import lock_customer
from app.services.billing.fact_log import FOLD, add_fact
from app.services.billing.facts import GRACE_ENDED, TRIAL_ENDED
from app.services.directory.lookup import lock_tenant
from app.services.payments.checkouts import close_old_checkouts
from app.services.tenants.deliveries import enqueue_deliveries, request_delivery
from sql.statements import billing_ends as statements

# So many at a time; the next minute goes on.
AT_ONCE: Final = 500
SYSTEM: Final = Actor("system", "billing")


class _Told(NamedTuple):
    """A tenant that is to be told, and the end of its grace or its trial."""

    tenant_id: int
    slug: str
    name: str
    ends_at: datetime

    def title(self, what: str) -> str:
        """How the trail says it."""
        return f"{self.name} {what}; it goes on until {self.ends_at:%Y-%m-%d}"

    @property
    def details(self) -> dict[str, Any]:
        """What the event tells beside that."""
        return {"tenant_id": self.tenant_id, "metadata": {"ends_at": self.ends_at}}


class _Over(NamedTuple):
    """A subscription whose grace or trial is over; without a customer Stripe knows nothing of it."""

    id: int
    tenant_id: int
    slug: str
    name: str
    state: Literal["past_due", "trialing"]
    stripe_subscription_id: str | None
    customer_id: int | None
    over_at: datetime

    @property
    def event(self) -> Event:
        """What the trail tells of it."""
        is_grace = self.state == "past_due"
        title = f"{'Grace' if is_grace else 'Trial'} of {self.name} has ended"
        details: dict[str, Any] = {"tenant_id": self.tenant_id, "metadata": {"ended_at": self.over_at}}
        return Event(EventType.GRACE_ENDED if is_grace else EventType.TRIAL_ENDED, title, **details)


async def end_graces_and_trials(ctx: Context) -> Mapping[str, object]:
    """Tell tenants what begins and what will end, and end what is over; answers how many of each.

    Each tenant is told once of each grace and each trial, however often this runs.
    """
    ctx = ctx._replace(actor=SYSTEM)
    now = await billing_now(ctx)
    soon = now + timedelta(days=ctx.runtime.settings.trial_notice_days)
    async with ctx.write() as conn:
        graces = await conn.many(statements.tell_of_graces, _Told, billing_now=now, max_rows=AT_ONCE)
        trials = await conn.many(statements.tell_of_trials, _Told, billing_now=now, soon=soon, max_rows=AT_ONCE)
        events = [Event(EventType.GRACE_BEGUN, told.title("is past due"), **told.details) for told in graces]
        events += [Event(EventType.TRIAL_ENDING, told.title("is in a trial"), **told.details) for told in trials]
        if events:
            await record(conn, ctx, *events)
        deliveries = [await request_delivery(conn, "payment_failed", told.slug, at=ctx.now()) for told in graces]
        deliveries += [await request_delivery(conn, "trial_ending", told.slug, at=ctx.now()) for told in trials]
    enqueue_deliveries(ctx, deliveries)
    async with ctx.read() as conn:
        over = await conn.many(statements.over, _Over, billing_now=now, max_rows=AT_ONCE)
    ended = 0
    for subscription in over:
        with contextlib.suppress(TenantNotFoundError):
            ended += await _end(ctx, subscription)
    return {"graces": len(graces), "trials": len(trials), "ended": ended, "checkouts": await close_old_checkouts(ctx)}


async def _end(ctx: Context, over: _Over) -> int:
    """End a grace or a trial: by a fact where Stripe knows of the subscription, so that Stripe can still correct it."""
    deliveries: list[int] = []
    async with ctx.write() as conn:
        customer = await lock_customer(conn, over.slug)
        if customer is None or over.stripe_subscription_id is None:
            # Its row keeps the state too: whoever changes a subscription locks the tenant first.
            await lock_tenant(conn, over.slug)
            key = {"of_tenant_id": over.tenant_id, "of_id": over.id, "of_state": over.state, "of_moment": over.over_at}
            is_new = await conn.affected(statements.end_unpaid, **key, now=ctx.now()) > 0
        else:
            kind = GRACE_ENDED if over.state == "past_due" else TRIAL_ENDED
            is_new = await add_fact(
                conn,
                ctx,
                customer.id,
                source="portal",
                type=kind,
                reference=f"{kind}:{over.stripe_subscription_id}:{int(over.over_at.timestamp())}",
                object_id=over.stripe_subscription_id,
                # Kept to the second, and never before the end.
                happened_at=over.over_at + timedelta(seconds=1 if over.over_at.microsecond else 0),
                payload={"tenant_id": over.tenant_id},
            )
        if is_new:
            await record(conn, ctx, over.event)
            if over.state == "past_due":
                deliveries.append(await request_delivery(conn, "grace_ended", over.slug, at=ctx.now()))
    if customer is not None:
        ctx.runtime.enqueue(FOLD, customer.id)
    enqueue_deliveries(ctx, deliveries)
    return int(is_new)
