"""What is answered about a tenant's billing; amounts become decimals here, at the last moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.contract.camel import CAMEL
from app.money import in_currency
from app.services.payments.checkouts import Opened
from app.services.payments.purchases import Purchase, PurchasePage
from app.services.payments.renewals import Renewal
from app.services.payments.summary import BillingSummary, Payment, PaymentMethod, PricedPlan
from app.services.payments.upgrades import Preview
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutAnswer:
    """A page at Stripe to which the browser goes."""

    __pydantic_config__ = CAMEL
    checkout_url: str
    session_id: str

    @classmethod
    def of(cls, opened: Opened) -> CheckoutAnswer:
        """The answer about a session."""
        return cls(checkout_url=opened.url, session_id=opened.session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseAnswer(CheckoutAnswer):
    """A page at Stripe where codes are paid, and what they cost together."""

    __pydantic_config__ = CAMEL
    total_cost: float
    currency: str
    purchase_id: int

    @classmethod
    def bought(cls, opened: Opened, currency: str) -> PurchaseAnswer:
        """The answer about a purchase that begins."""
        return cls(
            checkout_url=opened.url,
            session_id=opened.session_id,
            total_cost=in_currency(opened.amount or 0, currency),
            currency=currency,
            purchase_id=opened.checkout_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPurchase:
    """A purchase of codes; `canShowCodes` while its codes wait to be shown."""

    __pydantic_config__ = CAMEL
    id: int
    status: str
    quantity: int
    label: str | None
    total_cost: float
    amount_refunded: float
    currency: str
    codes_taken_back: int
    codes_kept: int
    can_show_codes: bool
    codes_shown_at: datetime | None
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, purchase: Purchase) -> OwnPurchase:
        """The answer about a purchase."""
        return cls(
            id=purchase.id,
            status=purchase.state,
            quantity=purchase.quantity,
            label=purchase.label,
            total_cost=in_currency(purchase.amount, purchase.currency),
            amount_refunded=in_currency(purchase.amount_refunded, purchase.currency),
            currency=purchase.currency,
            codes_taken_back=purchase.codes_taken_back,
            codes_kept=purchase.codes_kept,
            can_show_codes=purchase.has_codes,
            codes_shown_at=purchase.codes_shown_at,
            created_at=purchase.created_at,
            completed_at=purchase.completed_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasesAnswer:
    """A page of purchases, newest first; `before` is where the next one goes on."""

    __pydantic_config__ = CAMEL
    purchases: list[OwnPurchase]
    before: int | None

    @classmethod
    def of(cls, page: PurchasePage) -> PurchasesAnswer:
        """The answer about a page."""
        return cls(purchases=[OwnPurchase.of(each) for each in page.purchases], before=page.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesAnswer:
    """The codes of a purchase, for the only time."""

    __pydantic_config__ = CAMEL
    purchase_id: int
    codes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProrationLineAnswer:
    """A part of what is paid at once; negative is given back."""

    __pydantic_config__ = CAMEL
    description: str
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewAnswer:
    """What a change to a plan would cost."""

    __pydantic_config__ = CAMEL
    plan_id: int
    plan_name: str
    is_change: Annotated[bool, Field(description="Whether a living subscription changes, or a new one begins.")]
    amount_due: Annotated[float, Field(description="What is paid at once.")]
    next_amount: Annotated[float, Field(description="What is paid from the next period on.")]
    next_payment_at: datetime | None
    currency: str
    lines: list[ProrationLineAnswer]

    @classmethod
    def of(cls, preview: Preview) -> PreviewAnswer:
        """The answer about a change."""
        currency = preview.currency
        return cls(
            plan_id=preview.plan.id,
            plan_name=preview.plan.name,
            is_change=preview.is_change,
            amount_due=in_currency(preview.amount_due, currency),
            next_amount=in_currency(preview.next_amount, currency),
            next_payment_at=preview.next_payment_at,
            currency=currency,
            lines=[
                ProrationLineAnswer(description=line.description, amount=in_currency(line.amount, currency))
                for line in preview.lines
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAnswer:
    """A page at Stripe to which the browser goes."""

    __pydantic_config__ = CAMEL
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalAnswer:
    """Whether the subscription ends with its period, and when that is."""

    __pydantic_config__ = CAMEL
    cancel_at_period_end: bool
    current_period_end: datetime | None

    @classmethod
    def of(cls, renewal: Renewal) -> RenewalAnswer:
        """The answer about a renewal."""
        return cls(cancel_at_period_end=renewal.cancel_at_period_end, current_period_end=renewal.current_period_end)


def _share(part: int, whole: int) -> float:
    """The share in percent, with two decimals; of nothing it is 0, and it may be more than all."""
    return round(part / whole * 100, 2) if whole else 0.0
