"""Going on or not: Stripe's billing portal, ending the subscription with its period, and resuming it before that."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.errors import NothingPaidForError
from app.services.billing.clock import billing_now
from app.services.billing.fact_log import FOLD
from app.services.billing.pages import return_url
from app.services.billing.snapshots import add_snapshot
from app.services.payments.payer import Payer, gateway_of, in_time, own_payer

SECONDS_A_PORTAL_IS_SHARED = 60


class Renewal(NamedTuple):
    """Whether the subscription ends with its period, and when that is."""

    cancel_at_period_end: bool
    current_period_end: datetime | None


async def open_portal(ctx: Context) -> str:
    """The address of Stripe's billing portal for the tenant: cards, invoices, cancellation.

    Raises NothingPaidForError where Stripe does not know the tenant, and what the gateway raises.
    """
    gateway, payer = gateway_of(ctx), await own_payer(ctx)
    if payer.customer_id is None:
        raise NothingPaidForError
    # Clicks of one minute are one session; a later one gets a page of its own, because the first may have ended.
    minute = int(ctx.now().timestamp()) // SECONDS_A_PORTAL_IS_SHARED
    opening = gateway.open_portal(
        customer_id=payer.customer_id,
        return_url=return_url(ctx.runtime.settings),
        key=f"portal:{payer.tenant_id}:{minute}",
    )
    return (await in_time(ctx, opening)).url


async def cancel_renewal(ctx: Context) -> Renewal:
    """Let the tenant's subscription end with the period that is paid for; until then it goes on.

    Raises NothingPaidForError, and what the gateway raises.
    """
    return await _set(ctx, cancel=True)


async def resume_renewal(ctx: Context) -> Renewal:
    """Let a subscription go on that was to end with its period; raises as ``cancel_renewal``."""
    return await _set(ctx, cancel=False)


async def _set(ctx: Context, *, cancel: bool) -> Renewal:
    payer = await own_payer(ctx)
    gateway_of(ctx)
    if not payer.may_have_subscription:
        raise NothingPaidForError
    if payer.cancel_at_period_end == cancel:
        return Renewal(cancel, payer.current_period_end)
    return await in_time(ctx, _ask(ctx, payer, cancel=cancel))


async def _ask(ctx: Context, payer: Payer, *, cancel: bool) -> Renewal:
    """Change it at Stripe, and store its answer as a fact, from which the tenant's subscription follows at once."""
    subscription_id = payer.stripe_subscription_id
    if subscription_id is None:
        raise NothingPaidForError
    asked_at = await billing_now(ctx)
    # Since when the subscription is as it is here is a part of the key: after resuming, it can be cancelled again.
    since = payer.changed_at.isoformat() if payer.changed_at else ""
    found = await gateway_of(ctx).set_cancel_at_period_end(
        subscription_id=subscription_id,
        cancel=cancel,
        key=f"{'cancel' if cancel else 'resume'}:{subscription_id}:{since}",
    )
    if payer.customer_row_id is not None:
        async with ctx.write() as conn:
            await add_snapshot(conn, ctx, payer.customer_row_id, found, source="gateway", asked_at=asked_at)
        ctx.runtime.enqueue(FOLD, payer.customer_row_id)
    return Renewal(cancel, payer.current_period_end)
