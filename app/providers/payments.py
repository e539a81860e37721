"""What the portal asks of Stripe and what it is answered, without Stripe's library, which only the gateway imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

# An object of Stripe's as its API writes it, of the API's version that the gateway names.
StripeObject = Mapping[str, Any]

Kind = Literal["subscription", "invoice", "checkout.session", "customer", "payment_method", "charge"]


@dataclass(frozen=True, slots=True)
class Session:
    """A page at Stripe where a tenant pays or confirms a change, open until ``expires_at`` (None: for minutes)."""

    id: str
    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProrationLine:
    """A line of what a change of plan costs at once; negative is given back, in minor units."""

    description: str
    amount: int


@dataclass(frozen=True, slots=True)
class Proration:
    """What a change of plan costs: at once and from the next period on, in minor units of the currency."""

    amount_due: int
    currency: str
    next_amount: int
    next_payment_at: datetime | None
    lines: Sequence[ProrationLine]


@dataclass(frozen=True, slots=True)
class Price:
    """A price at Stripe: the amount in minor units, for each interval."""

    id: str
    amount: int
    currency: str
    interval: Literal["day", "week", "month", "year"] | None


class BillingGateway(Protocol):
    """Stripe, or the simulator that speaks as Stripe does.

    Each call that changes something takes ``key``, which is made from what is being done: the same key does it once.
    All raise PaymentsUnavailableError when Stripe does not answer in time or is broken, or was silent a moment ago, and
    PaymentsRefusedError when it refuses what was asked. None may be made while a database connection is held.
    """

    async def ready(self) -> None:
        """Return if Stripe is asked at all; it is not for a while once it has been silent."""

    async def create_customer(self, *, tenant_id: int, slug: str, name: str, email: str | None, key: str) -> str:
        """The id of a new customer, with the tenant's id and slug as its metadata."""

    async def open_subscription(
        self,
        *,
        customer_id: str,
        price_id: str,
        metadata: Mapping[str, str],
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> Session:
        """A checkout session for a subscription; the metadata are also those of the subscription."""

    async def open_purchase(
        self,
        *,
        customer_id: str,
        amount: int,
        currency: str,
        description: str,
        metadata: Mapping[str, str],
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> Session:
        """A checkout session for one payment of ``amount`` minor units; the metadata are also the payment intent's."""

    async def open_plan_change(
        self, *, customer_id: str, subscription_id: str, item_id: str, price_id: str, return_url: str, key: str
    ) -> Session:
        """A session of Stripe's billing portal that shows a change of the living subscription, to be confirmed."""

    async def open_portal(self, *, customer_id: str, return_url: str, key: str) -> Session:
        """A session of Stripe's billing portal: cards, invoices, cancellation."""

    async def preview(self, *, customer_id: str, subscription_id: str, item_id: str, price_id: str) -> Proration:
        """What a change of the living subscription to this price would cost."""

    async def set_cancel_at_period_end(self, *, subscription_id: str, cancel: bool, key: str) -> StripeObject:
        """End the subscription with its period, or go on after all; the subscription as it is then."""

    async def cancel_now(self, *, subscription_id: str, key: str) -> StripeObject:
        """End the subscription at once, without giving money back; the subscription as it is then."""

    async def expire_session(self, *, session_id: str, key: str) -> StripeObject:
        """Close a checkout session that is open, so that nobody pays in it."""

    async def fetch(self, kind: Kind, object_id: str) -> StripeObject | None:
        """An object as it is now; None when Stripe has none with this id."""

    async def customer_objects(self, kind: Kind, customer_id: str) -> Sequence[StripeObject]:
        """All objects of a kind that a customer has, ended subscriptions among them, newest first."""

    async def customers(self) -> Sequence[StripeObject]:
        """All customers that have a tenant's id in their metadata."""

    async def price(self, price_id: str) -> Price | None:
        """A price; None when Stripe has none with this id."""

    async def offers_plan_changes(self) -> bool:
        """Whether the account's billing portal lets customers change their plan."""

    async def check(self) -> str:
        """The name of the account, to show that the key is good."""

    async def close(self) -> None:
        """Close the connections."""
