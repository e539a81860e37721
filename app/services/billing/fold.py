"""The state of a customer as a pure function of the set of its facts: no order of arrival, no repeat matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from app.services.billing.facts import Fact, metadata_of, number_in
from app.services.billing.money import invoice_state, payment_method_state, payments_of, session_state
from app.services.billing.standing import is_deleted, subscription_state
from app.services.billing.state import BillingState
from app.services.billing.view import History, View, view_of

Read = TypeVar("Read")


def fold(facts: Iterable[Fact], *, grace: timedelta, can_ask: bool) -> BillingState:
    """What follows from the facts; ``grace`` is how long a subscription that is past due is licensed.

    Each object's newest snapshot counts. Without ``can_ask`` there is no Stripe that could tell the newer of two
    snapshots, so none is asked for.
    """
    view = view_of(facts, can_ask=can_ask)
    if view.needs_fetch:
        return BillingState(needs_fetch=tuple(view.needs_fetch), unreadable=view.unreadable)
    subscription, others = subscription_state(view, grace)
    payments = payments_of(view)
    return BillingState(
        subscription=subscription,
        other_subscriptions=others,
        invoices=_each(view, "invoice", lambda each: invoice_state(view, each, payments)),
        payment_methods=_each(view, "payment_method", lambda each: payment_method_state(view, each)),
        sessions=_each(view, "checkout.session", lambda each: session_state(view, each)),
        payments=payments,
        is_deleted=any(is_deleted(each) for each in view.of("customer")),
        current=frozenset(view.current),
        unreadable=view.unreadable,
    )


def named_tenant(facts: Sequence[Fact]) -> int | None:
    """The tenant that the metadata of the customer name, or else those of its objects; None where they name several."""
    found = [each for fact in facts if (each := _object_of(fact.payload)) is not None]
    for objects in ([each for each in found if each.get("object") == "customer"], found):
        named = {number_in(metadata_of(each), "tenant_id") for each in objects} - {None}
        if named:
            return named.pop() if len(named) == 1 else None
    return None


def _each(view: View, kind: str, read: Callable[[History], Read | None]) -> tuple[Read, ...]:
    found = (view.read(history, read) for history in view.of(kind))
    return tuple(each for each in found if each is not None)


def _object_of(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    data = payload.get("data")
    found = data.get("object") if isinstance(data, Mapping) else payload.get("object")
    return found if isinstance(found, Mapping) else None
