"""Which subscription counts for a customer, how it stands, and what an operator has said about it since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.services.billing.facts import (
    GRACE_ENDED,
    TRIAL_ENDED,
    Fact,
    Snapshot,
    first_item,
    metadata_of,
    moment_of,
    number_in,
    price_of,
    reference_to,
)
from app.services.billing.state import SubscriptionState
from app.services.billing.view import History, View

# Stripe's statuses as the states of ours; one that is not named here grants nothing.
STATES: Final = {
    "active": "active",
    "trialing": "trialing",
    "past_due": "past_due",
    "canceled": "canceled",
    "unpaid": "unpaid",
    "incomplete": "unpaid",
    "incomplete_expired": "unpaid",
    "paused": "suspended",
}
_NOT_BEGUN: Final = frozenset({"incomplete", "incomplete_expired"})
_ENDED: Final = frozenset({"canceled", "incomplete_expired"})
_PAID: Final = frozenset({"invoice.paid", "invoice.payment_succeeded"})
_PAID_SESSION: Final = frozenset({"paid"})


class _Standing(NamedTuple):
    """How a subscription stands, and since when; without a snapshot of its own, by what was paid for it."""

    id: str
    history: History | None
    status: str
    since: datetime
    created: int
    has_begun: bool


def subscription_state(view: View, grace: timedelta) -> tuple[SubscriptionState | None, tuple[str, ...]]:
    """The subscription that counts, and the ids of other living ones.

    A living one stands before one that has ended, then the one that an operator has linked, then the newest. One whose
    first payment was never made counts only if an operator has linked it: nothing is granted before payment.
    """
    linked = view.newest_said("stripe_subscription_id")
    linked_id = linked and linked.payload["stripe_subscription_id"]
    deleted_at = _deleted_at(view)
    standings = [
        each if deleted_at is None or each.status in _ENDED else each._replace(status="canceled", since=deleted_at)
        for each in _standings(view)
        if each.has_begun or each.id == linked_id
    ]
    if not standings:
        return None, ()
    counted = max(standings, key=lambda each: (each.status not in _ENDED, each.id == linked_id, each.created, each.id))
    others = tuple(sorted(each.id for each in standings if each.status not in _ENDED and each.id != counted.id))
    state = _own_words(view, counted) if counted.history is None else _described(view, counted, counted.history, grace)
    return _with_operators_word(view, counted, state), others


def _deleted_at(view: View) -> datetime | None:
    """When the customer was deleted, whose subscriptions are over by that; None where it was not."""
    deleted = [each.newest.at for each in view.of("customer") if is_deleted(each)]
    return max(deleted, default=None)


def is_deleted(customer: History) -> bool:
    """Whether Stripe has no such customer any more."""
    return customer.newest.type == "customer.deleted" or bool(customer.object.get("deleted"))


def _standings(view: View) -> Iterator[_Standing]:
    seen: set[str] = set()
    for history in view.of("subscription"):
        seen.add(history.id)
        if (standing := view.read(history, lambda each: _standing(view, each))) is not None:
            yield standing
    for subscription_id in sorted(_ids_paid_for(view) - seen):
        statements = sorted(_statements(view, subscription_id, None), key=lambda each: each.place)
        if statements:
            last = statements[-1]
            view.current.add(last.fact_id)
            status = "past_due" if last.type == "invoice.payment_failed" else "active"
            yield _Standing(subscription_id, None, status, last.at, 0, has_begun=True)


def _standing(view: View, history: History) -> _Standing:
    newest = history.newest
    status = str(newest.object.get("status"))
    if newest.type.endswith(".deleted"):
        status = "canceled"
    since = view.since_when(history, lambda found: found.get("status"))
    statements = sorted(_statements(view, history.id, newest), key=lambda each: each.place)
    if statements:
        last = statements[-1]
        told = "active" if last.type in _PAID else "past_due"
        changed_from = {"past_due", "unpaid", "incomplete"} if told == "active" else {"active"}
        if status in changed_from:
            view.current.add(last.fact_id)
            status, since = told, last.at
    created = newest.object.get("created")
    has_begun = status not in _NOT_BEGUN | _ENDED or _has_lived(view, history)
    return _Standing(history.id, history, status, since, created if isinstance(created, int) else 0, has_begun)


def _has_lived(view: View, history: History) -> bool:
    """Whether a subscription has ever been more than asked for; one that ended before its first payment has not."""
    lived = (each for each in history.snapshots if each.object.get("status") not in _NOT_BEGUN | _ENDED)
    first = min(lived, key=lambda each: (each.place, each.reference), default=None)
    paying = [each.fact_id for each in _statements(view, history.id, None) if each.type != "invoice.payment_failed"]
    view.current.update([first.fact_id] if first is not None else paying)
    return first is not None or bool(paying)


def _statements(view: View, subscription_id: str, newest: Snapshot | None) -> Iterator[Snapshot]:
    """What invoices, or a checkout session, say of a subscription since its newest snapshot: it was paid, or was not.

    Stripe tells the subscription itself too, but that event may be late or lost. Only the latest invoice matters.
    """
    for history in view.of("invoice"):
        if subscription_of_invoice(history) != subscription_id:
            continue
        for each in history.snapshots:
            if each.type not in _PAID and each.type != "invoice.payment_failed":
                continue
            if newest is None or (_is_later(each, newest) and _is_of_latest_invoice(history, newest)):
                yield each
    if newest is None:
        for session in view.of("checkout.session"):
            if reference_to(session.object.get("subscription")) == subscription_id:
                yield from (each for each in session.snapshots if each.object.get("payment_status") in _PAID_SESSION)


def _is_later(statement: Snapshot, newest: Snapshot) -> bool:
    is_first = newest.type.endswith(".created")
    return statement.at > newest.at or (is_first and statement.at == newest.at)


def _is_of_latest_invoice(invoice: History, newest: Snapshot) -> bool:
    latest = reference_to(newest.object.get("latest_invoice"))
    created = moment_of(invoice.object.get("created"))
    return latest in {None, invoice.id} or (created is not None and created > newest.at)


def _ids_paid_for(view: View) -> set[str]:
    named = {subscription_of_invoice(history) for history in view.of("invoice")}
    named |= {
        reference_to(session.object.get("subscription"))
        for session in view.of("checkout.session")
        if session.object.get("mode") == "subscription"
    }
    return {each for each in named if each is not None}


def subscription_of_invoice(history: History) -> str | None:
    """The subscription that an invoice is for; older versions of the API name it on the invoice itself."""
    parent = history.object.get("parent")
    details = parent.get("subscription_details") if isinstance(parent, dict) else None
    named = details.get("subscription") if isinstance(details, dict) else None
    return reference_to(named) or reference_to(history.object.get("subscription"))


def _own_words(view: View, counted: _Standing) -> SubscriptionState:
    """A subscription of which no snapshot is known: what was paid for by its session holds until there is one."""
    plan_id = None
    for session in view.of("checkout.session"):
        if reference_to(session.object.get("subscription")) == counted.id:
            plan_id = number_in(metadata_of(session.object), "plan_id") or plan_id
    return SubscriptionState(
        counted.id, STATES.get(counted.status, "unpaid"), False, None, plan_id, None, None, None, None, False
    )


def _described(view: View, counted: _Standing, history: History, grace: timedelta) -> SubscriptionState:
    found, item = history.object, first_item(history.object)
    state = STATES.get(counted.status, "unpaid")
    trial_end = moment_of(found.get("trial_end")) if state == "trialing" else None
    grace_until = counted.since + grace if state == "past_due" else None
    if _is_over(view, counted.id, GRACE_ENDED, grace_until) or _is_over(view, counted.id, TRIAL_ENDED, trial_end):
        state = "unpaid"
    start, end = (
        moment_of(found.get(name) if found.get(name) is not None else item.get(name))
        for name in ("current_period_start", "current_period_end")
    )
    is_ending = bool(found.get("cancel_at_period_end")) or found.get("cancel_at") is not None
    return SubscriptionState(
        stripe_subscription_id=counted.id,
        state=state,
        is_described=True,
        price_id=price_of(found),
        plan_id=None,
        current_period_start=start,
        current_period_end=end,
        trial_ends_at=trial_end,
        grace_until=grace_until,
        cancel_at_period_end=is_ending and counted.status not in _ENDED,
    )


def _is_over(view: View, subscription_id: str, kind: str, end: datetime | None) -> bool:
    """Whether the portal has said that a trial or a grace is over, and its end has not been moved since."""
    said = [
        fact
        for fact in view.portal
        if end is not None and (fact.type, fact.object_id) == (kind, subscription_id) and fact.happened_at >= end
    ]
    view.current.update(fact.id for fact in said)
    return bool(said)


def _with_operators_word(view: View, counted: _Standing, state: SubscriptionState) -> SubscriptionState:
    """An operator's word stands until Stripe's changes after it; a suspension until an operator lifts it."""
    plan, said = view.newest_said("plan_id"), view.newest_said("state")
    if plan is not None and plan.happened_at >= _plan_since(view, counted):
        state = replace(state, price_id=None, plan_id=int(plan.payload["plan_id"]))
    if said is not None and _stands(said, counted):
        state = replace(state, state=str(said.payload["state"]), grace_until=None)
    return state


def _stands(said: Fact, counted: _Standing) -> bool:
    """Whether an operator's word about the state stands; whoever links a subscription leaves its state to Stripe."""
    if said.payload["state"] == "suspended":
        return True
    links = said.payload.get("stripe_subscription_id") is not None and counted.history is not None
    return not links and said.happened_at >= counted.since


def _plan_since(view: View, counted: _Standing) -> datetime:
    """Since when Stripe has said which plan it is."""
    if counted.history is None:
        return counted.since
    return view.since_when(counted.history, price_of)
