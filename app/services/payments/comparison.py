"""What differs between a tenant's tables and what follows from all that Stripe says; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from app.services.billing.state import BillingState, InvoiceState, PaymentMethodState
from app.services.payments.projection import StoredSubscription

PAID = frozenset({"paid", "refunded"})
PERIODS = ("current_period_start", "current_period_end", "trial_ends_at", "grace_until", "cancel_at_period_end")


class Difference(NamedTuple):
    """One thing that is otherwise at Stripe than here: which object, what of it, and how it is in both places.

    Where it is repaired, Stripe's answer has become a fact and the tables follow from it. What is left is for somebody
    to decide, and ``what`` says it.
    """

    tenant: str | None
    kind: str
    id: str
    what: str
    here: Any
    at_stripe: Any
    is_repaired: bool = False


class Plan(NamedTuple):
    """A plan and its price."""

    id: int
    name: str
    stripe_price_id: str


class Stored(NamedTuple):
    """What the tables hold of a tenant; sessions by their ids at Stripe."""

    subscription: StoredSubscription | None
    invoices: frozenset[InvoiceState]
    payment_methods: frozenset[PaymentMethodState]
    sessions: Mapping[str, str]


def differences(tenant: str, stored: Stored, expected: BillingState, plans: Iterable[Plan]) -> list[Difference]:
    """Everything that is stored otherwise than it follows from the facts."""
    return [
        *_of_subscription(tenant, stored.subscription, expected, list(plans)),
        *_of_each(tenant, "invoice", "stripe_invoice_id", stored.invoices, expected.invoices),
        *_of_each(
            tenant, "payment_method", "stripe_payment_method_id", stored.payment_methods, expected.payment_methods
        ),
        *(
            Difference(tenant, "payment_method", gone, "is not the customer's any more", "stored", None)
            for gone in sorted(
                {each.stripe_payment_method_id for each in stored.payment_methods}
                - {each.stripe_payment_method_id for each in expected.payment_methods}
            )
        ),
        *(
            Difference(tenant, "checkout.session", session.stripe_session_id, "state", known, "paid")
            for session in expected.sessions
            if session.state == "paid"
            and session.kind == "codes"
            and (known := stored.sessions.get(session.stripe_session_id)) not in PAID
        ),
        *(
            Difference(
                tenant, "subscription", other, "is living beside the one that counts; end one of them", None, other
            )
            for other in expected.other_subscriptions
        ),
    ]


def _of_subscription(
    tenant: str, stored: StoredSubscription | None, expected: BillingState, plans: list[Plan]
) -> Iterator[Difference]:
    state = expected.subscription
    if state is None:
        return
    subscription_id = state.stripe_subscription_id
    if stored is None:
        yield Difference(tenant, "subscription", subscription_id, "is not stored", None, state.state)
        return
    names = {plan.id: plan.name for plan in plans}
    plan_id = state.plan_id or next((plan.id for plan in plans if plan.stripe_price_id == state.price_id), None)
    if plan_id is None:
        what = "no plan has its price; give one this price"
        yield Difference(tenant, "subscription", subscription_id, what, names.get(stored.plan_id), state.price_id)
    elif plan_id != stored.plan_id:
        yield Difference(tenant, "subscription", subscription_id, "plan", names.get(stored.plan_id), names.get(plan_id))
    members = ("state", "stripe_subscription_id", *(PERIODS if state.is_described else ()))
    for member in members:
        here, there = getattr(stored, member), getattr(state, member)
        if here != there:
            yield Difference(tenant, "subscription", subscription_id, member, here, there)


def _of_each(tenant: str, kind: str, key: str, stored: Iterable[Any], expected: Iterable[Any]) -> Iterator[Difference]:
    known = {getattr(each, key): each for each in stored}
    for each in expected:
        object_id = getattr(each, key)
        if (here := known.get(object_id)) is None:
            yield Difference(tenant, kind, object_id, "is not stored", None, getattr(each, "state", None))
            continue
        for member in fields(each):
            before, after = getattr(here, member.name), getattr(each, member.name)
            if before != after:
                yield Difference(tenant, kind, object_id, member.name, before, after)
