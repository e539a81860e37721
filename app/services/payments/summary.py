"""A tenant's billing page: everything out of our own tables, so that it is there also while Stripe is not."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from app.context import Context
from app.services.billing.plans import Plan
from app.services.payments.plan_prices import PlanPrice, prices_of
from app.services.tenants.details import TenantDetails, own_details
from sql.statements import billing
from sql.statements import tenant_billing as statements

# So many payments are shown, the newest first.
MAX_PAYMENTS: Final = 50
# States in which a subscription at Stripe is renewed, unless it ends with its period.
RENEWED: Final = frozenset({"active", "trialing", "past_due"})


class HeldSubscription(NamedTuple):
    """The tenant's subscription with its plan and the price of that, as far as it is known; in minor units."""

    plan_name: str
    monthly_run_quota: int
    stripe_price_id: str
    state: str
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    current_period_start: datetime | None
    current_period_end: datetime | None
    grace_until: datetime | None
    trial_ends_at: datetime | None
    cancel_at_period_end: bool
    amount: int | None
    currency: str | None
    recurring_interval: str | None

    @property
    def price(self) -> PlanPrice | None:
        """The price of its plan, if it is known."""
        if self.amount is None or self.currency is None:
            return None
        return PlanPrice(self.stripe_price_id, self.amount, self.currency, self.recurring_interval)

    @property
    def is_renewed(self) -> bool:
        """Whether Stripe goes on with it when its period ends."""
        is_living = self.stripe_subscription_id is not None and self.state in RENEWED
        return is_living and not self.cancel_at_period_end

    @property
    def next_payment_at(self) -> datetime | None:
        """When the next payment is due; None where none is."""
        if not self.is_renewed:
            return None
        return self.trial_ends_at if self.state == "trialing" and self.trial_ends_at else self.current_period_end


class Payment(NamedTuple):
    """An invoice, or a purchase of codes; amounts in minor units."""

    kind: Literal["invoice", "purchase"]
    id: int
    at: datetime
    amount: int
    amount_refunded: int
    currency: str
    state: str
    description: str
    url: str | None
    card_last4: str | None


class PaymentMethod(NamedTuple):
    """What a tenant pays with; what a card has, others do not."""

    stripe_payment_method_id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool


class BillingSummary(NamedTuple):
    """Everything that the billing page shows."""

    subscription: HeldSubscription | None
    price: PlanPrice | None
    details: TenantDetails
    payments: list[Payment]
    payment_methods: list[PaymentMethod]


class PricedPlan(NamedTuple):
    """A plan and its price, where Stripe has one."""

    plan: Plan
    price: PlanPrice | None
    is_current: bool


async def own_summary(ctx: Context) -> BillingSummary:
    """The billing page of the tenant whose session asks; raises TenantNotFoundError."""
    async with ctx.read() as conn:
        held = await conn.maybe(statements.subscription_of_tenant, HeldSubscription, tenant_id=ctx.tenant_id)
        payments = await conn.many(
            statements.payments_of_tenant, Payment, tenant_id=ctx.tenant_id, max_rows=MAX_PAYMENTS
        )
        methods = await conn.many(statements.payment_methods_of_tenant, PaymentMethod, tenant_id=ctx.tenant_id)
    details = await own_details(ctx)
    price = held and held.price
    if held is not None and price is None:
        price = (await prices_of(ctx, [held.stripe_price_id])).get(held.stripe_price_id)
    return BillingSummary(held, price, details, payments, methods)


async def own_payment_methods(ctx: Context) -> list[PaymentMethod]:
    """What the tenant pays with, its default first."""
    async with ctx.read() as conn:
        return await conn.many(statements.payment_methods_of_tenant, PaymentMethod, tenant_id=ctx.tenant_id)


async def priced_plans(ctx: Context) -> list[PricedPlan]:
    """All plans with their prices, the smallest quota first, and which of them the tenant has."""
    async with ctx.read() as conn:
        plans = await conn.many(billing.plans_by_quota, Plan)
        held = await conn.maybe(statements.subscription_of_tenant, HeldSubscription, tenant_id=ctx.tenant_id)
    prices = await prices_of(ctx, [plan.stripe_price_id for plan in plans])
    return [
        PricedPlan(plan, prices.get(plan.stripe_price_id), held is not None and held.plan_name == plan.name)
        for plan in plans
    ]
