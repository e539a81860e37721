"""Choosing a plan: a checkout session for a first subscription, and for a living one the confirmation of its change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.context import Context
from app.errors import AlreadyOnPlanError, PaymentsRefusedError, PlanIdNotFoundError
from app.providers.payments import ProrationLine, StripeObject
from app.services.billing.pages import return_url
from app.services.payments.checkouts import Answered, Draft, Opened, open_once
from app.services.payments.payer import Payer, customer_of, gateway_of, in_time, own_payer, ready_gateway
from app.services.payments.plan_prices import needed_price
from sql.statements import checkouts as statements

# Of a subscription in one of these states nothing can be changed any more; another one may begin.
ENDED: Final = frozenset({"canceled", "incomplete_expired"})


class ChosenPlan(NamedTuple):
    """The plan that a tenant has chosen."""

    id: int
    name: str
    stripe_price_id: str


class Living(NamedTuple):
    """A living subscription at Stripe, and the item of it that is the plan."""

    subscription_id: str
    item_id: str
    price_id: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change to a plan costs at once and from the next period on, in minor units.

    Without a living subscription nothing is prorated, and the first payment is the price.
    """

    plan: ChosenPlan
    is_change: bool
    amount_due: int
    currency: str
    next_amount: int
    next_payment_at: datetime | None
    lines: tuple[ProrationLine, ...]


async def start_upgrade(ctx: Context, plan_id: int) -> Opened:
    """A session in which the tenant pays for the plan, or confirms the change of its living subscription to it.

    However often it is asked for, it is one session as long as that is open, and never a second subscription. Raises
    PlanIdNotFoundError, AlreadyOnPlanError, and as ``open_once``.
    """
    await ready_gateway(ctx)
    payer, plan = await own_payer(ctx), await _plan(ctx, plan_id)
    if payer.may_have_subscription and payer.plan_id == plan.id:
        raise AlreadyOnPlanError(plan=plan.name)
    draft = Draft(kind="plan_change" if payer.may_have_subscription else "subscription", plan_id=plan.id)

    async def ask(checkout_id: int) -> Answered:
        return await _ask(ctx, payer, plan, checkout_id)

    return await open_once(ctx, draft, ask)


async def preview_upgrade(ctx: Context, plan_id: int) -> Preview:
    """What a change to the plan would cost; raises PlanIdNotFoundError and what the gateway raises."""
    payer, plan = await own_payer(ctx), await _plan(ctx, plan_id)
    return await in_time(ctx, _preview(ctx, payer, plan))


async def living_subscription(ctx: Context, payer: Payer) -> Living | None:
    """The tenant's subscription as it is at Stripe at this moment, unless it has ended there."""
    if not payer.may_have_subscription or payer.stripe_subscription_id is None:
        return None
    found = await gateway_of(ctx).fetch("subscription", payer.stripe_subscription_id)
    if found is None or found.get("status") in ENDED:
        return None
    item = _first_item(found)
    return Living(payer.stripe_subscription_id, str(item["id"]), _price_id(item))


async def _plan(ctx: Context, plan_id: int) -> ChosenPlan:
    async with ctx.read() as conn:
        plan = await conn.maybe(statements.plan_by_id, ChosenPlan, plan_id=plan_id)
    if plan is None:
        raise PlanIdNotFoundError(plan_id=plan_id)
    return plan


async def _ask(ctx: Context, payer: Payer, plan: ChosenPlan, checkout_id: int) -> Answered:
    gateway, settings = gateway_of(ctx), ctx.runtime.settings
    customer_id = await customer_of(ctx, payer)
    success_url = return_url(settings, "success=true")
    if (living := await living_subscription(ctx, payer)) is not None:
        change = await gateway.open_plan_change(
            customer_id=customer_id,
            subscription_id=living.subscription_id,
            item_id=living.item_id,
            price_id=plan.stripe_price_id,
            return_url=success_url,
            key=f"checkout:{checkout_id}",
        )
        return Answered("plan_change", change)
    session = await gateway.open_subscription(
        customer_id=customer_id,
        price_id=plan.stripe_price_id,
        metadata={
            "type": "subscription_upgrade",
            "tenant_id": str(payer.tenant_id),
            "plan_id": str(plan.id),
            "checkout_id": str(checkout_id),
        },
        success_url=success_url,
        cancel_url=return_url(settings, "canceled=true"),
        key=f"checkout:{checkout_id}",
    )
    return Answered("subscription", session)


async def _preview(ctx: Context, payer: Payer, plan: ChosenPlan) -> Preview:
    living = await living_subscription(ctx, payer)
    if living is None or payer.customer_id is None:
        price = await needed_price(ctx, plan.stripe_price_id)
        return Preview(plan, False, price.amount, price.currency, price.amount, None, ())
    costs = await gateway_of(ctx).preview(
        customer_id=payer.customer_id,
        subscription_id=living.subscription_id,
        item_id=living.item_id,
        price_id=plan.stripe_price_id,
    )
    return Preview(
        plan,
        True,
        costs.amount_due,
        costs.currency,
        costs.next_amount,
        costs.next_payment_at,
        tuple(costs.lines),
    )


def _first_item(subscription: StripeObject) -> Mapping[str, Any]:
    items = subscription.get("items")
    data = items.get("data") if isinstance(items, Mapping) else None
    if not data:
        raise PaymentsRefusedError(reason="the subscription holds no plan")
    item: Mapping[str, Any] = data[0]
    return item


def _price_id(item: Mapping[str, Any]) -> str | None:
    price = item.get("price")
    found = price.get("id") if isinstance(price, Mapping) else price
    return found if isinstance(found, str) else None
