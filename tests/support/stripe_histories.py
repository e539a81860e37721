"""Ten histories of a customer at Stripe, of forty events each, made by pure functions."""

from __future__ import annotations

from collections.abc import Callable

from support.stripe_story import DAY, ENTERPRISE, PRO, STARTER, Event, Story

EVENTS = 40


def _to_the_end(story: Story, subscription_id: str) -> None:
    """Renewals, every other of them with a failure first, until there are forty events."""
    number = 0
    while len(story.events) < EVENTS:
        story.wait(30 * DAY)
        if number % 2:
            owed = story.renew(subscription_id, paid=False)
            story.wait(2 * DAY)
            story.recover(subscription_id, owed)
        else:
            story.renew(subscription_id)
        number += 1


def trial_to_cancel(story: Story) -> None:
    story.card()
    subscription = story.subscribe(PRO, trial_days=14)
    story.wait(11 * DAY)
    story.tell("customer.subscription.trial_will_end", story.objects[subscription])
    story.wait(3 * DAY)
    story.renew(subscription)
    story.wait(20 * DAY)
    story.change("customer.subscription.updated", subscription, cancel_at_period_end=True)
    story.wait(DAY)
    story.change("customer.subscription.updated", subscription, cancel_at_period_end=False)
    for _ in range(3):
        story.wait(30 * DAY)
        story.renew(subscription)
    story.change(
        "customer.subscription.updated", subscription, cancel_at_period_end=True, cancel_at=story.now + 30 * DAY
    )
    story.wait(30 * DAY)
    story.end(subscription)


def failures(story: Story) -> None:
    story.card()
    subscription = story.subscribe(STARTER)
    for days in (1, 3):
        story.wait(30 * DAY)
        owed = story.renew(subscription, paid=False)
        story.wait(days * DAY)
        story.fail(owed)
        story.wait(DAY)
        story.recover(subscription, owed)
    story.wait(30 * DAY)
    owed = story.renew(subscription, paid=False)
    story.wait(4 * DAY)
    story.fail(owed)


def refunds(story: Story) -> None:
    story.card()
    first = story.buy_codes(5)
    story.wait(DAY)
    story.refund(first, 1000)
    second = story.buy_codes(10, later=True)
    story.wait(DAY)
    story.refund(first, 1500)
    story.leave_checkout(20)
    third = story.buy_codes(3)
    story.wait(DAY)
    won = story.dispute(third)
    story.wait(20 * DAY)
    story.change("charge.dispute.closed", won, status="won")
    story.refund(second, 700)
    subscription = story.subscribe(PRO)
    story.wait(30 * DAY)
    story.refund(story.renew(subscription), 4900)


def plan_changes(story: Story) -> None:
    story.card()
    subscription = story.subscribe(STARTER)
    for price in (PRO, ENTERPRISE, STARTER, PRO):
        story.wait(3 * DAY)
        story.change_plan(subscription, price)
    story.wait(DAY)
    # Four changes of one second: only their previous_attributes tell which was the last.
    for price in (STARTER, ENTERPRISE, PRO):
        story.change_plan(subscription, price)
        story.change(
            "customer.subscription.updated", subscription, metadata={"tenant_id": str(story.tenant_id), "step": price}
        )


def two_subscriptions(story: Story) -> None:
    story.card()
    first = story.subscribe(STARTER)
    story.wait(3600)
    second = story.subscribe(PRO)
    story.wait(30 * DAY)
    story.renew(first)
    story.renew(second)
    story.wait(DAY)
    story.end(second)
    story.wait(29 * DAY)


def never_paid(story: Story) -> None:
    subscription = story.subscribe(PRO, paid=False)
    invoice = story.objects[subscription]["latest_invoice"]
    story.wait(DAY)
    story.fail(invoice)
    story.change("invoice.voided", invoice, status="void")
    story.change("customer.subscription.updated", subscription, status="incomplete_expired")
    story.leave_checkout(5)
    story.card()
    paid = story.subscribe(ENTERPRISE)
    story.wait(3 * DAY)
    story.change_plan(paid, PRO)


def unpaid_to_deleted(story: Story) -> None:
    story.card()
    subscription = story.subscribe(PRO)
    story.wait(30 * DAY)
    owed = story.renew(subscription, paid=False)
    for _ in range(3):
        story.wait(3 * DAY)
        story.fail(owed)
    story.change("customer.subscription.updated", subscription, status="unpaid")
    story.wait(10 * DAY)
    story.recover(subscription, owed)
    story.wait(DAY)
    story.end(subscription)
    again = story.subscribe(STARTER)
    story.wait(30 * DAY)
    story.renew(again)


def paused_trial(story: Story) -> None:
    subscription = story.subscribe(PRO, trial_days=7)
    story.wait(7 * DAY)
    story.change("customer.subscription.updated", subscription, status="paused")
    story.tell("customer.subscription.paused", story.objects[subscription])
    story.wait(5 * DAY)
    story.card()
    story.change("customer.subscription.updated", subscription, status="active", trial_end=None)
    story.tell("customer.subscription.resumed", story.objects[subscription])


def cards(story: Story) -> None:
    first = story.card("1111")
    story.wait(60)
    second = story.card("2222")
    subscription = story.subscribe(STARTER)
    story.wait(DAY)
    story.drop_card(first)
    third = story.card("3333")
    story.change("customer.subscription.updated", subscription, default_payment_method=third)
    story.change(
        "payment_method.updated", second, card={"brand": "visa", "last4": "2222", "exp_month": 1, "exp_year": 2031}
    )
    story.buy_codes(2)
    story.wait(DAY)
    story.drop_card(second)


def busy_second(story: Story) -> None:
    story.card()
    subscription = story.subscribe(PRO)
    story.wait(30 * DAY)
    owed = story.renew(subscription, paid=False)
    story.recover(subscription, owed)
    story.change("customer.subscription.updated", subscription, cancel_at_period_end=True)
    story.change("customer.subscription.updated", subscription, default_payment_method="pm_other")
    story.wait(DAY)
    story.change_plan(subscription, ENTERPRISE)
    story.buy_codes(4)


TALES: tuple[Callable[[Story], None], ...] = (
    trial_to_cancel,
    failures,
    refunds,
    plan_changes,
    two_subscriptions,
    never_paid,
    unpaid_to_deleted,
    paused_trial,
    cards,
    busy_second,
)


def history(tale: Callable[[Story], None], name: str | None = None, tenant_id: int = 1) -> list[Event]:
    """The forty events of a tale, in the order in which they happened."""
    story = Story(name or tale.__name__, tenant_id)
    tale(story)
    living = [
        each["id"]
        for each in story.objects.values()
        if each["object"] == "subscription" and each["status"] not in {"canceled", "incomplete_expired"}
    ]
    if living:
        _to_the_end(story, living[-1])
    while len(story.events) < EVENTS:
        story.wait(3600)
        story.card(f"{len(story.events):04}")
    return story.events[:EVENTS]
