"""What is answered about what a tenant has and has paid; amounts become decimals here, at the last moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.contract.camel import CAMEL
from app.money import in_currency
from app.services.payments.summary import BillingSummary, Payment, PaymentMethod, PricedPlan
from app.settings import Settings

NO_PLAN = "No Plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionAnswer:
    """The tenant's subscription; without one the plan is `No Plan` and the status `inactive`."""

    __pydantic_config__ = CAMEL
    plan_name: str
    plan_tier: str | None
    monthly_price: Annotated[float | None, Field(description="A twelfth, where it is paid by the year.")]
    currency: str | None
    interval: str | None
    status: str
    next_billing_date: Annotated[datetime | None, Field(description="When the next payment is due; null: none is.")]
    auto_renewal: bool
    cancel_at_period_end: bool
    grace_until: Annotated[datetime | None, Field(description="Until then it goes on, though a payment has failed.")]
    trial_ends_at: datetime | None
    stripe_subscription_id: str | None
    stripe_customer_id: str | None
    current_period_start: datetime | None
    current_period_end: datetime | None

    @classmethod
    def of(cls, billing: BillingSummary) -> SubscriptionAnswer:
        """The answer about a subscription, or about none."""
        held = billing.subscription
        if held is None:
            return cls._none()
        price = billing.price
        return cls(
            plan_name=held.plan_name,
            plan_tier=held.plan_name.lower(),
            monthly_price=None if price is None else in_currency(price.monthly, price.currency),
            currency=None if price is None else price.currency,
            interval=None if price is None else price.recurring_interval,
            status=held.state,
            next_billing_date=held.next_payment_at,
            auto_renewal=held.is_renewed,
            cancel_at_period_end=held.cancel_at_period_end,
            grace_until=held.grace_until if held.state == "past_due" else None,
            trial_ends_at=held.trial_ends_at if held.state == "trialing" else None,
            stripe_subscription_id=held.stripe_subscription_id,
            stripe_customer_id=held.stripe_customer_id,
            current_period_start=held.current_period_start,
            current_period_end=held.current_period_end,
        )

    @classmethod
    def _none(cls) -> SubscriptionAnswer:
        return cls(
            plan_name=NO_PLAN,
            plan_tier=None,
            monthly_price=None,
            currency=None,
            interval=None,
            status="inactive",
            next_billing_date=None,
            auto_renewal=False,
            cancel_at_period_end=False,
            grace_until=None,
            trial_ends_at=None,
            stripe_subscription_id=None,
            stripe_customer_id=None,
            current_period_start=None,
            current_period_end=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAnswer:
    """What the tenant has used this month."""

    __pydantic_config__ = CAMEL
    monthly_run_quota: int
    current_month_usage: int
    usage_percentage: float
    activation_codes_total: int
    activation_codes_used: int
    activation_codes_remaining: int
    activation_codes_percentage: float

    @classmethod
    def of(cls, billing: BillingSummary) -> UsageAnswer:
        """The answer about the month."""
        details = billing.details
        quota, used = details.usage_quota, details.usage_current
        codes, used_codes = details.codes_total, details.codes_used
        return cls(
            monthly_run_quota=quota,
            current_month_usage=used,
            usage_percentage=_share(used, quota),
            activation_codes_total=codes,
            activation_codes_used=used_codes,
            activation_codes_remaining=codes - used_codes,
            activation_codes_percentage=_share(used_codes, codes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAnswer:
    """An invoice or a purchase of codes."""

    __pydantic_config__ = CAMEL
    id: str
    date: datetime
    amount: float
    amount_refunded: float
    currency: str
    status: Literal["paid", "pending", "failed"]
    description: str
    invoice_url: str | None
    payment_method_last4: Annotated[str | None, Field(alias="paymentMethodLast4")]

    @classmethod
    def of(cls, payment: Payment) -> PaymentAnswer:
        """The answer about a payment."""
        status: Literal["paid", "pending", "failed"] = "pending"
        if payment.state in {"paid", "failed"}:
            status = "paid" if payment.state == "paid" else "failed"
        return cls(
            id=f"{payment.kind}-{payment.id}",
            date=payment.at,
            amount=in_currency(payment.amount, payment.currency),
            amount_refunded=in_currency(payment.amount_refunded, payment.currency),
            currency=payment.currency,
            status=status,
            description=payment.description,
            invoice_url=payment.url,
            payment_method_last4=payment.card_last4,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAnswer:
    """A card."""

    __pydantic_config__ = CAMEL
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodAnswer:
    """What the tenant pays with; `card` is null for anything else."""

    __pydantic_config__ = CAMEL
    id: str
    type: str
    card: CardAnswer | None
    is_default: bool

    @classmethod
    def of(cls, method: PaymentMethod) -> PaymentMethodAnswer:
        """The answer about a means of payment."""
        card = CardAnswer(brand=method.brand, last4=method.last4, exp_month=method.exp_month, exp_year=method.exp_year)
        return cls(
            id=method.stripe_payment_method_id,
            type=method.type,
            card=card if method.last4 else None,
            is_default=method.is_default,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodsAnswer:
    """What the tenant pays with."""

    __pydantic_config__ = CAMEL
    payment_methods: list[PaymentMethodAnswer]

    @classmethod
    def of(cls, methods: list[PaymentMethod]) -> PaymentMethodsAnswer:
        """The answer about all of them."""
        return cls(payment_methods=[PaymentMethodAnswer.of(method) for method in methods])


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePriceAnswer:
    """A tier of the price table: from so many codes on, the price of each."""

    __pydantic_config__ = CAMEL
    quantity: int
    unit_price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAnswer:
    """Everything that the billing page shows."""

    __pydantic_config__ = CAMEL
    subscription: SubscriptionAnswer
    usage: UsageAnswer
    billing_history: list[PaymentAnswer]
    payment_methods: list[PaymentMethodAnswer]
    code_prices: list[CodePriceAnswer]
    code_currency: str

    @classmethod
    def of(cls, billing: BillingSummary, settings: Settings) -> BillingAnswer:
        """The answer about a tenant's billing."""
        currency = settings.billing_currency
        return cls(
            subscription=SubscriptionAnswer.of(billing),
            usage=UsageAnswer.of(billing),
            billing_history=[PaymentAnswer.of(payment) for payment in billing.payments],
            payment_methods=[PaymentMethodAnswer.of(method) for method in billing.payment_methods],
            code_prices=[
                CodePriceAnswer(quantity=price.quantity, unit_price=in_currency(price.unit_amount, currency))
                for price in settings.code_prices
            ],
            code_currency=currency,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlanAnswer:
    """A plan and what it costs; `price` is null where Stripe has none or could not be asked yet."""

    __pydantic_config__ = CAMEL
    id: int
    name: str
    stripe_price_id: str
    monthly_run_quota: int
    max_devices: int | None
    price: float | None
    monthly_price: float | None
    currency: str | None
    interval: str | None
    is_current: bool

    @classmethod
    def of(cls, priced: PricedPlan) -> PricedPlanAnswer:
        """The answer about a plan."""
        plan, price = priced.plan, priced.price
        return cls(
            id=plan.id,
            name=plan.name,
            stripe_price_id=plan.stripe_price_id,
            monthly_run_quota=plan.monthly_run_quota,
            max_devices=plan.max_devices,
            price=None if price is None else in_currency(price.amount, price.currency),
            monthly_price=None if price is None else in_currency(price.monthly, price.currency),
            currency=None if price is None else price.currency,
            interval=None if price is None else price.recurring_interval,
            is_current=priced.is_current,
        )


def _share(part: int, whole: int) -> float:
    """The share in percent, with two decimals; of nothing it is 0, and it may be more than all."""
    return round(part / whole * 100, 2) if whole else 0.0
