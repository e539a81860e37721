"""What a change within a period costs: the rest of the old price is given back, that of the new one is charged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from app.providers.stripe_simulator.books import Books, Object, new_id
from app.providers.stripe_simulator.catalogue import find_price
from app.providers.stripe_simulator.invoices import Line, invoice_body
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.periods import period_after
from app.providers.stripe_simulator.refusals import missing, wrong
from app.providers.stripe_simulator.subscriptions import full_period, living, product_name


class Change(NamedTuple):
    """What a subscription's item will be; ``anchor`` is where its periods begin anew, if they do."""

    price: Object
    quantity: int
    period: tuple[int, int]
    anchor: int | None = None


def will_change(books: Books, subscription: Object, asked: Parameters) -> Change:
    """What the item will be, where ``items`` asks for another price or quantity."""
    entries = asked.entries("items")
    item = subscription["items"]["data"][0]
    if len(entries) != 1:
        raise wrong("items", "The simulator has subscriptions of one item.")
    if entries[0].text("id") != item["id"]:
        raise missing("subscription_item", entries[0].text("id"))
    price = find_price(books, entries[0].text("price") or item["price"]["id"])
    if price["recurring"] is None:
        raise wrong("items[0][price]", f"The price {price['id']} is for one payment, not for a subscription.")
    quantity = entries[0].number("quantity", item["quantity"])
    interval = price["recurring"]["interval"]
    if interval == item["price"]["recurring"]["interval"] or subscription["status"] == "trialing":
        return Change(price, quantity, (item["current_period_start"], item["current_period_end"]))
    return Change(price, quantity, period_after(books.now, interval, books.now), books.now)


def proration_lines(books: Books, subscription: Object, new: Change) -> list[Line]:
    """What is given back and what is charged for the rest of the period; nothing within a trial."""
    item = subscription["items"]["data"][0]
    old = item["price"]
    if subscription["status"] == "trialing" or (old["id"], item["quantity"]) == (new.price["id"], new.quantity):
        return []
    start, end = item["current_period_start"], item["current_period_end"]
    left, whole = max(0, end - books.now), max(1, end - start)
    day = datetime.fromtimestamp(books.now, UTC).strftime("%d %b %Y")
    unused = -_share(old["unit_amount"] * item["quantity"], left, whole)
    lines = [Line(f"Unused time on {product_name(books, old)} after {day}", unused, old, books.now, end, True)]
    words = product_name(books, new.price)
    if new.anchor is not None:
        return [*lines, full_period(books, new.price, new.quantity, *new.period)]
    rest = _share(new.price["unit_amount"] * new.quantity, left, whole)
    return [*lines, Line(f"Remaining time on {words} after {day}", rest, new.price, books.now, end, True)]


def _share(amount: int, left: int, whole: int) -> int:
    """The part of an amount for the time that is left, rounded to the nearest minor unit."""
    return (2 * amount * left + whole) // (2 * whole)


def preview(books: Books, asked: Parameters) -> Object:
    """The invoice that a change would make, or that the next renewal will make; nothing is changed."""
    subscription = living(books, asked.needed("subscription"))
    details = asked.nested("subscription_details")
    if "items" in details:
        new = will_change(books, subscription, details)
        lines = proration_lines(books, subscription, new)
        if details.text("proration_behavior", "create_prorations") != "always_invoice" and new.anchor is None:
            lines.append(_next(books, subscription, new.price, new.quantity))
        reason = "subscription_update"
    else:
        item = subscription["items"]["data"][0]
        lines = [*pending_lines(books, subscription), _next(books, subscription, item["price"], item["quantity"])]
        reason = "upcoming"
    return invoice_body(books, subscription, lines, reason, new_id("upcoming_in"))


def _next(books: Books, subscription: Object, price: Object, quantity: int) -> Line:
    end = subscription["items"]["data"][0]["current_period_end"]
    period = period_after(subscription["billing_cycle_anchor"], price["recurring"]["interval"], end)
    return full_period(books, price, quantity, *period)


def pending_lines(books: Books, subscription: Object) -> list[Line]:
    """What earlier changes have left for the next invoice."""
    return [
        Line(description, amount, books.get("price", price_id), start, end, True)
        for description, amount, price_id, start, end in books.notes(subscription)["pending"]
    ]
