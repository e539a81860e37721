"""A tenant as whoever pays: its subscription, its customer at Stripe, and asking Stripe within a request's time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from app.context import Context
from app.errors import PaymentsNotConfiguredError, PaymentsUnavailableError, TenantNotFoundError
from app.providers.payments import BillingGateway
from app.services.billing.customers import keep_customer
from app.services.billing.fact_log import FOLD
from app.services.directory.lookup import keep_tenant
from sql.statements import checkouts as statements

Answer = TypeVar("Answer")

# Seconds of a request's time that are left for its answer, once Stripe has not answered.
LEFT_TO_ANSWER: Final = 5


class Payer(NamedTuple):
    """A tenant and how it pays; what it does not have is None.

    ``changed_at`` is when its subscription was last changed here: a part of the keys of what is asked, so that what is
    asked twice is done once, and what is asked again after a change is done again.
    """

    tenant_id: int
    slug: str
    name: str
    email: str | None
    state: str | None
    plan_id: int | None
    stripe_subscription_id: str | None
    cancel_at_period_end: bool | None
    current_period_end: datetime | None
    changed_at: datetime | None
    customer_row_id: int | None
    customer_id: str | None

    @property
    def may_have_subscription(self) -> bool:
        """Whether Stripe may have a living subscription of the tenant, as far as is known here."""
        return self.stripe_subscription_id is not None and self.state != "canceled"


async def own_payer(ctx: Context) -> Payer:
    """The tenant whose session asks; raises TenantNotFoundError if it was deleted just now."""
    async with ctx.read() as conn:
        payer = await conn.maybe(statements.payer, Payer, tenant_id=ctx.tenant_id)
    if payer is None:
        raise TenantNotFoundError(slug=ctx.tenant_slug)
    return payer


def gateway_of(ctx: Context) -> BillingGateway:
    """Stripe, or its simulator; raises PaymentsNotConfiguredError."""
    if ctx.runtime.payments is None:
        raise PaymentsNotConfiguredError
    return ctx.runtime.payments


async def ready_gateway(ctx: Context) -> BillingGateway:
    """The gateway, for whoever asks the database first: a refusal because Stripe is silent costs no statement.

    Raises PaymentsNotConfiguredError, PaymentsUnavailableError.
    """
    gateway = gateway_of(ctx)
    await gateway.ready()
    return gateway


async def in_time(ctx: Context, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What the work answers; where Stripe takes longer than a request may, the work goes on without its caller.

    A caller that leaves does not interrupt it either, so that nothing is left half done. Raises
    PaymentsUnavailableError.
    """
    limit = max(1, ctx.runtime.settings.response_timeout_seconds - LEFT_TO_ANSWER)
    try:
        async with asyncio.timeout(limit):
            return await ctx.runtime.to_its_end(work)
    except TimeoutError:
        raise PaymentsUnavailableError from None


async def customer_of(ctx: Context, payer: Payer) -> str:
    """The id of the tenant's customer at Stripe, made if there is none; the same key makes one, however often.

    Raises TenantNotFoundError, and what the gateway raises.
    """
    customer_id = payer.customer_id or await gateway_of(ctx).create_customer(
        tenant_id=payer.tenant_id,
        slug=payer.slug,
        name=payer.name,
        email=payer.email,
        key=f"customer:{payer.tenant_id}",
    )
    if payer.customer_row_id is not None:
        return customer_id
    async with ctx.write() as conn:
        await keep_tenant(conn, payer.slug)
        customer = await keep_customer(conn, ctx, payer.tenant_id, customer_id)
    # Its own events may have arrived first, and nobody knew whose they are: now they are folded.
    ctx.runtime.enqueue(FOLD, customer.id)
    return customer.stripe_customer_id
