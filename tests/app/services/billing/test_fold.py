"""The fold: a function of the set of facts, whatever the order and however often each is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from support.stripe_histories import EVENTS, TALES, history
from support.stripe_story import Event, Story

from app.services.billing.facts import Fact
from app.services.billing.fold import fold
from app.services.billing.state import BillingState

FULL = os.environ.get("PORTAL_PROOF") == "full"
SEED = os.environ.get("PORTAL_FOLD_SEED", "2026")
# Shuffles of each of the ten histories.
SHUFFLES = 2000 if FULL else 25
GRACE = timedelta(days=7)
ALL = pytest.mark.parametrize("tale", TALES, ids=lambda tale: tale.__name__)


def fact_of(event: Event, number: int = 1) -> Fact:
    at = datetime.fromtimestamp(event["created"], UTC)
    return Fact(number, "stripe", event["id"], event["type"], event["data"]["object"].get("id"), at, event)


def folded(events: Sequence[Event], *, can_ask: bool = False) -> BillingState:
    return fold([fact_of(event, number) for number, event in enumerate(events, 1)], grace=GRACE, can_ask=can_ask)


@ALL
def test_any_order_with_any_repeats_gives_one_state(tale: Callable[[Story], None]) -> None:
    events = history(tale)
    assert len(events) == EVENTS
    straight = folded(events).hash
    draw = Random(f"{SEED}:{tale.__name__}")
    seen = set()

    for _ in range(SHUFFLES):
        told = [*events, *draw.choices(events, k=EVENTS // 2)]
        draw.shuffle(told)
        seen.add(folded(told).hash)

    assert seen == {straight}


def snapshot(kind: str, at: int, name: str, previous: Mapping[str, Any] | None = None, **members: Any) -> Event:
    found = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "created": 1, **members}
    data = {"object": found} if previous is None else {"object": found, "previous_attributes": previous}
    return {"id": name, "type": f"customer.subscription.{kind}", "created": at, "data": data}


def said(at: int, **payload: Any) -> Fact:
    moment = datetime.fromtimestamp(at, UTC)
    return Fact(900 + at, "operator", f"operator:{at}", "subscription.changed", None, moment, payload)


def ended(kind: str, at: datetime) -> Fact:
    return Fact(990, "portal", f"{kind}:1", kind, "sub_1", at, {})


def state_of(*facts: Event | Fact, can_ask: bool = False) -> BillingState:
    made = [fact if isinstance(fact, Fact) else fact_of(fact, number) for number, fact in enumerate(facts, 1)]
    return fold(made, grace=GRACE, can_ask=can_ask)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("active", "active"),
        ("trialing", "trialing"),
        ("past_due", "past_due"),
        ("canceled", "canceled"),
        ("unpaid", "unpaid"),
        ("paused", "suspended"),
        ("something_new", "unpaid"),
    ],
)
def test_a_status_of_stripe_is_a_state_of_ours(status: str, state: str) -> None:
    found = state_of(snapshot("created", 1, "a", status="active"), snapshot("updated", 2, "b", status=status))

    assert found.subscription
    assert found.subscription.state == state


@pytest.mark.parametrize("end", ["incomplete", "incomplete_expired", "canceled"])
def test_what_was_never_paid_grants_nothing(end: str) -> None:
    events = [snapshot("created", 1, "a", status="incomplete"), snapshot("updated", 2, "b", status=end)]

    assert state_of(*events).subscription is None
    # Unless an operator has linked it: then it says how the tenant stands.
    linked = state_of(*events, said(3, stripe_subscription_id="sub_1")).subscription
    assert linked
    assert linked.state in {"unpaid", "canceled"}


def test_only_stripe_can_tell_which_of_two_snapshots_of_a_second_is_newer() -> None:
    events = [snapshot("updated", 1, "a", status="active"), snapshot("updated", 1, "b", status="past_due")]

    assert state_of(*events, can_ask=True).needs_fetch == (("subscription", "sub_1"),)
    # Where nobody can be asked, the one stands that grants less.
    alone = state_of(*events).subscription
    assert alone
    assert alone.state == "past_due"


def test_previous_attributes_tell_it_also_where_an_event_between_is_late() -> None:
    first = snapshot("updated", 1, "z", status="active", note=1)
    second = snapshot("updated", 1, "b", {"status": "active"}, status="past_due", note=1)
    third = snapshot("updated", 1, "a", {"note": 1}, status="past_due", note=2)

    for events in ((first, second, third), (third, first), (third, second), (second, first)):
        found = state_of(*events, can_ask=True)
        assert found.needs_fetch == ()
        assert found.subscription
        assert found.subscription.state == "past_due"


def test_a_change_that_is_undone_within_a_second_needs_stripe() -> None:
    there = snapshot("updated", 1, "a", {"status": "active"}, status="past_due")
    back = snapshot("updated", 1, "b", {"status": "past_due"}, status="active")

    assert state_of(there, back, can_ask=True).needs_fetch


def fetched(at: int, covers: Sequence[str], fetched_at: str = "1", **members: Any) -> Fact:
    found = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "created": 1, **members}
    payload = {"object": found, "covers": covers, "fetched_at": fetched_at}
    return Fact(
        500,
        "gateway",
        f"fetched:{at}:{fetched_at}",
        "subscription.fetched",
        "sub_1",
        datetime.fromtimestamp(at, UTC),
        payload,
    )


def test_a_fetched_snapshot_stands_above_what_was_known_and_below_what_is_newer() -> None:
    tied = [snapshot("updated", 5, "a", status="active"), snapshot("updated", 5, "b", status="past_due")]
    told = fetched(5, ["a", "b"], status="active")
    late, later = snapshot("updated", 4, "c", status="unpaid"), snapshot("updated", 6, "d", status="unpaid")

    def state(*facts: Event | Fact) -> str:
        found = state_of(*facts, can_ask=True)
        return found.subscription.state if found.subscription else str(found.needs_fetch and "ask")

    assert state(*tied, told) == state(*tied, told, late) == "active"
    assert state(*tied, told, later) == "unpaid"
    # One of the same second that it does not know may be older or newer.
    assert state(*tied, told, snapshot("updated", 5, "e", status="unpaid")) == "ask"
    assert state(*tied, told, snapshot("deleted", 5, "f", status="canceled")) == "canceled"
    assert state(*tied, told, fetched(5, ["a", "b"], "2", status="canceled")) == "canceled"


def test_an_operators_word_stands_until_stripes_changes_after_it() -> None:
    begun = snapshot("created", 1, "a", status="active", items={"data": [{"price": {"id": "price_1"}}]})
    same = snapshot("updated", 9, "b", status="active", items={"data": [{"price": {"id": "price_1"}}]})
    other = snapshot("updated", 10, "c", status="active", items={"data": [{"price": {"id": "price_2"}}]})
    word = said(5, plan_id=7)

    def plan(*facts: Event | Fact) -> tuple[int | None, str | None]:
        found = state_of(*facts).subscription
        assert found
        return found.plan_id, found.price_id

    assert plan(begun, word) == plan(word, same, begun) == (7, None)
    assert plan(begun, word, same, other) == (None, "price_2")


def test_a_suspension_stands_until_an_operator_lifts_it() -> None:
    begun, later = snapshot("created", 1, "a", status="active"), snapshot("updated", 9, "b", status="past_due")

    def state(*facts: Event | Fact) -> str | None:
        found = state_of(*facts).subscription
        return found and found.state

    assert state(begun, said(5, state="suspended"), later) == "suspended"
    assert state(begun, said(5, state="suspended"), later, said(6, state="active")) == "past_due"
    assert state(begun, later, said(10, state="active")) == "active"
    # Whoever links a subscription leaves its state to Stripe.
    assert state(begun, later, said(10, state="active", stripe_subscription_id="sub_1")) == "past_due"


def test_a_grace_and_a_trial_end_when_the_portal_says_so_unless_stripe_has_moved_them() -> None:
    begun, owing = snapshot("created", 1, "a", status="active"), snapshot("updated", 100, "b", status="past_due")
    due = datetime.fromtimestamp(100, UTC) + GRACE
    found = state_of(begun, owing).subscription
    assert found
    assert (found.state, found.grace_until) == ("past_due", due)
    over = state_of(begun, owing, ended("grace.ended", due)).subscription
    paid = state_of(
        begun, owing, ended("grace.ended", due), snapshot("updated", 200, "c", status="active")
    ).subscription
    trial, end = snapshot("created", 1, "t", status="trialing", trial_end=500), datetime.fromtimestamp(500, UTC)
    longer = snapshot("updated", 2, "u", status="trialing", trial_end=900)

    assert over
    assert over.state == "unpaid"
    assert paid
    assert paid.state == "active"
    states = [
        found.subscription and found.subscription.state
        for found in (state_of(trial, ended("trial.ended", end)), state_of(trial, ended("trial.ended", end), longer))
    ]
    assert states == ["unpaid", "trialing"]


def invoice(kind: str, at: int, status: str) -> Event:
    parent = {"subscription_details": {"subscription": "sub_1"}}
    found = {"id": "in_1", "object": "invoice", "customer": "cus_1", "created": at, "status": status, "parent": parent}
    return {"id": f"{kind}:{at}", "type": kind, "created": at, "data": {"object": {**found, "total": 5}}}


def test_an_invoice_tells_of_its_subscription_where_that_is_late() -> None:
    begun = snapshot("created", 1, "a", status="active")
    failed, paid = invoice("invoice.payment_failed", 5, "open"), invoice("invoice.paid", 9, "paid")

    states = [
        found.subscription and found.subscription.state
        for found in (state_of(begun, failed), state_of(begun, failed, paid), state_of(failed), state_of(paid, failed))
    ]

    assert states == ["past_due", "active", "past_due", "active"]


def test_of_two_living_subscriptions_the_linked_one_counts_and_else_the_newest() -> None:
    older = snapshot("created", 1, "a", status="active")
    newer = snapshot("created", 2, "b", status="active")
    newer["data"]["object"] |= {"id": "sub_2", "created": 2}

    found = [state_of(older, newer), state_of(older, newer, said(9, stripe_subscription_id="sub_1"))]

    assert [each.subscription and each.subscription.stripe_subscription_id for each in found] == ["sub_2", "sub_1"]
    assert [each.other_subscriptions for each in found] == [("sub_1",), ("sub_2",)]


@ALL
def test_what_nothing_rests_on_may_be_removed(tale: Callable[[Story], None]) -> None:
    """Of the forty events only those stay that are current, and the state is the same."""
    facts = [fact_of(event, number) for number, event in enumerate(history(tale), 1)]
    whole = fold(facts, grace=GRACE, can_ask=False)

    rest = [fact for fact in facts if fact.id in whole.current]

    assert len(rest) < len(facts)
    assert fold(rest, grace=GRACE, can_ask=False).hash == whole.hash


def test_what_cannot_be_read_is_named_and_the_rest_counts() -> None:
    begun = snapshot("created", 1, "a", status="active")
    broken = invoice("invoice.paid", 2, "paid")
    broken["data"]["object"]["total"] = "many"

    found = state_of(begun, broken)

    assert found.unreadable == {2: "'many' is no amount"}
    assert found.subscription
    assert found.subscription.state == "active"


def test_with_the_customer_its_subscriptions_are_over() -> None:
    begun = snapshot("created", 1, "a", status="active")
    gone = {"object": "customer", "id": "cus_1", "deleted": True}
    deleted = {"id": "b", "type": "customer.deleted", "created": 5, "data": {"object": gone}}

    found = state_of(begun, deleted)

    assert found.is_deleted
    assert found.subscription
    assert found.subscription.state == "canceled"
