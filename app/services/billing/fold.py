"""The state of a customer as a pure function of the set of its facts: no order of arrival, no repeat matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from app.services.billing.facts import Fact, metadata_of, number_in
from app.services.billing.money import invoice_state, payment_method_state, payments_of, session_state
from app.services.billing.standing import subscription_state
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
        is_deleted=any(each.object.get("deleted") or _is_deleted(each) for each in view.of("customer")),
        current=frozenset(view.current),
        unreadable=view.unreadable,
    )


def named_tenant(facts: Iterable[Fact]) -> int | None:
    """The tenant that the metadata of a customer's objects name, where they name one and only one."""
    named = {tenant_id for fact in facts if (tenant_id := _tenant_in(fact.payload)) is not None}
    return next(iter(named)) if len(named) == 1 else None


def _each(view: View, kind: str, read: Callable[[History], Read | None]) -> tuple[Read, ...]:
    found = (view.read(history, read) for history in view.of(kind))
    return tuple(each for each in found if each is not None)


def _is_deleted(customer: History) -> bool:
    return customer.newest.type == "customer.deleted"


def _tenant_in(payload: Mapping[str, Any]) -> int | None:
    data = payload.get("data")
    found = data.get("object") if isinstance(data, Mapping) else payload.get("object")
    return number_in(metadata_of(found), "tenant_id") if isinstance(found, Mapping) else None
