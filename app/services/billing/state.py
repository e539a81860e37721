"""What follows from a customer's facts, as values: the subscription that counts, invoices, payments, sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from app.providers.payments import Kind
from app.services.billing.ordering import canonical

InvoiceStanding = Literal["pending", "paid", "failed"]
SessionStanding = Literal["open", "paid", "expired", "failed"]


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """The subscription that counts for a tenant.

    ``price_id`` is Stripe's word about the plan, and ``plan_id`` an operator's, or that of the session which began the
    subscription; at most one of them is given. Without ``is_described`` nothing is known of its periods, only that it
    was paid for, or was not.
    """

    stripe_subscription_id: str
    state: str
    is_described: bool
    price_id: str | None
    plan_id: int | None
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_ends_at: datetime | None
    grace_until: datetime | None
    cancel_at_period_end: bool


@dataclass(frozen=True, slots=True)
class InvoiceState:
    """An invoice; amounts in minor units."""

    stripe_invoice_id: str
    state: InvoiceStanding
    amount: int
    amount_refunded: int
    currency: str
    description: str
    url: str | None
    card_last4: str | None
    issued_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class PaymentMethodState:
    """A means of payment of the customer."""

    stripe_payment_method_id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class SessionState:
    """A checkout session, and what it was opened for by its metadata; amounts in minor units."""

    stripe_session_id: str
    state: SessionStanding
    kind: str
    tenant_id: int | None
    checkout_id: int | None
    plan_id: int | None
    quantity: int | None
    label: str | None
    amount: int
    currency: str
    payment_intent_id: str | None
    stripe_subscription_id: str | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PaymentState:
    """A payment of which something was given back, or is disputed; ``lost`` is how much, in minor units."""

    payment_intent_id: str
    amount: int
    lost: int
    is_disputed: bool


@dataclass(frozen=True, slots=True)
class BillingState:
    """All that follows from a customer's facts.

    ``other_subscriptions`` are living ones that do not count. ``needs_fetch`` names the objects of which only Stripe
    can tell the newest state; while there are any, nothing else here may be believed. ``current`` are the ids of the
    facts that all this rests on, and ``unreadable`` says which facts could not be read and why.
    """

    subscription: SubscriptionState | None = None
    other_subscriptions: tuple[str, ...] = ()
    invoices: tuple[InvoiceState, ...] = ()
    payment_methods: tuple[PaymentMethodState, ...] = ()
    sessions: tuple[SessionState, ...] = ()
    payments: tuple[PaymentState, ...] = ()
    is_deleted: bool = False
    needs_fetch: tuple[tuple[Kind, str], ...] = ()
    current: frozenset[int] = field(default=frozenset())
    unreadable: Mapping[int, str] = field(default_factory=dict)

    @property
    def hash(self) -> bytes:
        """The hash of what follows; which rows the facts have is no part of it."""
        members = asdict(self)
        for name in ("current", "unreadable", "needs_fetch"):
            del members[name]
        return hashlib.sha256(canonical(members)).digest()
