"""What is answered to a tenant that pays, buys, changes or ends something; amounts become decimals here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.contract.camel import CAMEL
from app.money import in_currency
from app.services.payments.checkouts import Opened
from app.services.payments.purchases import Purchase, PurchasePage
from app.services.payments.renewals import Renewal
from app.services.payments.upgrades import Preview


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
