"""What the API changes of subscriptions: their beginning, price, payment method, rest and end."""

from __future__ import annotations

from app.providers.stripe_simulator.books import Books, Object
from app.providers.stripe_simulator.catalogue import find_price, living_customer
from app.providers.stripe_simulator.charging import DAY
from app.providers.stripe_simulator.invoices import finalize, make_invoice, pay
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.periods import period_after
from app.providers.stripe_simulator.proration import proration_lines, will_change
from app.providers.stripe_simulator.refusals import Refusal, wrong
from app.providers.stripe_simulator.subscriptions import (
    begin,
    end,
    full_period,
    item_body,
    living,
    method_of,
    pause,
    schedule,
    settle,
)


def create_subscription(books: Books, asked: Parameters) -> Object:
    """A new subscription, as the API is asked for it; nobody is there to help with its first payment."""
    items = asked.entries("items")
    if len(items) != 1:
        raise wrong("items", "The simulator has subscriptions of one item.")
    trial_end = asked.number("trial_end") or None
    if days := asked.number("trial_period_days"):
        trial_end = books.now + days * DAY
    behavior = asked.text("payment_behavior", "allow_incomplete")
    subscription = begin(
        books,
        living_customer(books, asked.needed("customer")),
        find_price(books, items[0].needed("price")),
        quantity=items[0].number("quantity", 1),
        metadata=asked.metadata(),
        trial_end=trial_end,
        without_card=asked.nested("trial_settings").nested("end_behavior").text("missing_payment_method"),
        method_id=asked.optional("default_payment_method"),
        off_session=True,
        is_paid_at_once=behavior != "default_incomplete",
    )
    if behavior == "error_if_incomplete" and subscription["status"] == "incomplete":
        raise Refusal("Your card was declined.", status=402, kind="card_error", code="card_declined")
    return subscription


def update_subscription(books: Books, asked: Parameters, subscription_id: str) -> Object:
    """Change a subscription: its price, its end, how it is paid, its metadata."""
    subscription = living(books, subscription_id)
    changes: Object = {}
    if "metadata" in asked:
        changes["metadata"] = {**subscription["metadata"], **asked.metadata()}
    if "default_payment_method" in asked:
        changes["default_payment_method"] = asked.optional("default_payment_method")
    if "cancel_at_period_end" in asked:
        changes |= _end_with_period(books, subscription, is_to_end=asked.flag("cancel_at_period_end"))
    if asked.text("trial_end") == "now" and subscription["status"] == "trialing":
        changes["trial_end"] = books.now
    if "items" in asked:
        changes |= change_price(books, subscription, asked)
    books.change(subscription, "customer.subscription.updated", **changes)
    books.notes(subscription)["is_told"] = False
    schedule(books, subscription)
    return subscription


def _end_with_period(books: Books, subscription: Object, *, is_to_end: bool) -> Object:
    end = subscription["items"]["data"][0]["current_period_end"]
    return {
        "cancel_at_period_end": is_to_end,
        "cancel_at": end if is_to_end else None,
        "canceled_at": books.now if is_to_end else None,
        "cancellation_details": {
            **subscription["cancellation_details"],
            "reason": "cancellation_requested" if is_to_end else None,
        },
    }


def change_price(books: Books, subscription: Object, asked: Parameters) -> Object:
    """What changes with another price or quantity; the difference is invoiced at once, later, or not at all."""
    behavior = asked.text("proration_behavior", "create_prorations")
    new = will_change(books, subscription, asked)
    lines = [] if behavior == "none" else proration_lines(books, subscription, new)
    before = subscription["items"]["data"][0]
    item = item_body(books, subscription["id"], before["id"], new.price, new.quantity, new.period)
    item["created"] = before["created"]
    changes: Object = {"items": {**subscription["items"], "data": [item]}}
    if new.anchor is not None:
        changes["billing_cycle_anchor"] = new.anchor
    if behavior == "always_invoice" and lines and subscription["status"] in {"active", "past_due"}:
        invoice = make_invoice(books, subscription, lines, "subscription_update")
        finalize(books, invoice)
        changes["latest_invoice"] = invoice["id"]
        if pay(books, invoice, method_of(books, subscription), off_session=False):
            changes["status"] = "past_due"
    elif behavior == "create_prorations":
        books.notes(subscription)["pending"] += [[*line[:2], line.price["id"], *line[3:5]] for line in lines]
    return changes


def cancel_subscription(books: Books, asked: Parameters, subscription_id: str) -> Object:
    """End a subscription at once."""
    subscription = living(books, subscription_id)
    end(books, subscription, "cancellation_requested")
    return subscription


def pause_subscription(books: Books, asked: Parameters, subscription_id: str) -> Object:
    """Let a subscription rest: nothing is charged until it is resumed."""
    subscription = living(books, subscription_id)
    if subscription["status"] not in {"active", "trialing"}:
        raise Refusal(f"A subscription that is {subscription['status']} cannot be paused.")
    pause(books, subscription)
    return subscription


def resume_subscription(books: Books, asked: Parameters, subscription_id: str) -> Object:
    """Let a paused subscription go on, with a new period that begins now and is paid for at once."""
    subscription = living(books, subscription_id)
    if subscription["status"] != "paused":
        raise Refusal("Only a paused subscription can be resumed.")
    item = subscription["items"]["data"][0]
    start, until = period_after(books.now, item["price"]["recurring"]["interval"], books.now)
    renewed = {**item, "current_period_start": start, "current_period_end": until}
    previous = {"status": "paused"}
    books.change(
        subscription,
        None,
        status="active",
        billing_cycle_anchor=books.now,
        items={**subscription["items"], "data": [renewed]},
    )
    books.tell("customer.subscription.resumed", subscription, previous)
    invoice = make_invoice(
        books, subscription, [full_period(books, item["price"], item["quantity"], start, until)], "subscription_cycle"
    )
    finalize(books, invoice)
    books.change(subscription, "customer.subscription.updated", latest_invoice=invoice["id"])
    settle(books, subscription, invoice, off_session=True)
    schedule(books, subscription)
    return subscription
