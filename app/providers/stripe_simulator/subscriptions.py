"""Subscriptions: how they begin, are paid and end; what time does to them is in ``time_passing.py``."""

from __future__ import annotations

from app.providers.stripe_simulator.books import Books, Object, listing, new_id
from app.providers.stripe_simulator.charging import DAY
from app.providers.stripe_simulator.invoices import Line, finalize, make_invoice, pay, stop_attempts
from app.providers.stripe_simulator.periods import period_after
from app.providers.stripe_simulator.refusals import Refusal, wrong

ENDED = frozenset({"canceled", "incomplete_expired"})
# A subscription whose first invoice is not paid within this time never begins.
INCOMPLETE_SECONDS = 23 * 3600
# What is told ahead, in days: the end of a trial, and the next invoice.
TRIAL_NOTICE_DAYS = 3
UPCOMING_DAYS = 7


def begin(
    books: Books,
    customer: Object,
    price: Object,
    *,
    quantity: int = 1,
    metadata: dict[str, str],
    trial_end: int | None = None,
    without_card: str = "",
    method_id: str | None = None,
    off_session: bool,
    is_paid_at_once: bool = True,
) -> Object:
    """Begin a subscription with its first invoice; it is incomplete until that is paid."""
    if price["recurring"] is None:
        raise wrong("items", f"The price {price['id']} is for one payment, not for a subscription.")
    start, end = (
        (books.now, trial_end) if trial_end else period_after(books.now, price["recurring"]["interval"], books.now)
    )
    subscription = _body(books, customer, price, quantity, metadata, (start, end), trial_end)
    subscription["default_payment_method"] = method_id
    subscription["trial_settings"]["end_behavior"]["missing_payment_method"] = without_card or "create_invoice"
    books.add("subscription", subscription, pending=[], is_told=False)
    words = product_name(books, price)
    line = (
        Line(f"Trial period for {words}", 0, price, start, end)
        if trial_end
        else full_period(books, price, quantity, start, end)
    )
    invoice = make_invoice(books, subscription, [line], "subscription_create")
    subscription["latest_invoice"] = invoice["id"]
    books.tell("customer.subscription.created", subscription)
    finalize(books, invoice)
    if trial_end or is_paid_at_once:
        settle(books, subscription, invoice, off_session=off_session)
    if subscription["status"] == "incomplete":
        books.wake(subscription, books.now + INCOMPLETE_SECONDS)
    else:
        schedule(books, subscription)
    return subscription


def _body(
    books: Books,
    customer: Object,
    price: Object,
    quantity: int,
    metadata: dict[str, str],
    period: tuple[int, int],
    trial_end: int | None,
) -> Object:
    subscription_id = new_id("sub")
    return {
        "id": subscription_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": trial_end or books.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": books.now,
        "currency": price["currency"],
        "customer": customer["id"],
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listing(
            [item_body(books, subscription_id, new_id("si"), price, quantity, period)],
            f"/v1/subscription_items?subscription={subscription_id}",
        ),
        "latest_invoice": None,
        "livemode": False,
        "metadata": metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": ["card"],
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": books.now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": books.now if trial_end else None,
    }


def item_body(
    books: Books, subscription_id: str, item_id: str, price: Object, quantity: int, period: tuple[int, int]
) -> Object:
    """The item of a subscription: its price, how often, and the period that runs."""
    return {
        "id": item_id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": books.now,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": {},
        "price": price,
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }


def settle(books: Books, subscription: Object, invoice: Object, *, off_session: bool) -> str | None:
    """Try to have an invoice paid, and let the subscription follow; answers why not, or None where it is paid."""
    decline = pay(books, invoice, method_of(books, subscription), off_session=off_session)
    if decline is None:
        recover(books, subscription)
    elif subscription["status"] in {"active", "trialing"}:
        books.change(subscription, "customer.subscription.updated", status="past_due")
    return decline


def recover(books: Books, subscription: Object) -> None:
    """Let a subscription go on once no invoice of it is open any more."""
    if subscription["status"] not in {"incomplete", "past_due", "unpaid"}:
        return
    if any(invoice["status"] == "open" for invoice in invoices_of(books, subscription)):
        return
    books.change(subscription, "customer.subscription.updated", status="active")
    schedule(books, subscription)


def invoices_of(books: Books, subscription: Object) -> list[Object]:
    """The invoices of a subscription, the newest first."""
    return [
        invoice
        for invoice in books.listed("invoice", subscription["customer"])
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    ]


def method_of(books: Books, subscription: Object) -> Object | None:
    """By what a subscription is paid: its own payment method, else its customer's."""
    customer = books.get("customer", subscription["customer"])
    method_id = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    return None if method_id is None else books.get("payment_method", method_id)


def schedule(books: Books, subscription: Object) -> None:
    """Decide when time does the next thing to a subscription."""
    is_told = books.notes(subscription)["is_told"]
    at: int | None
    match subscription["status"]:
        case "trialing":
            at = subscription["trial_end"]
            notice = at - TRIAL_NOTICE_DAYS * DAY
        case "active" | "past_due":
            at = subscription["items"]["data"][0]["current_period_end"]
            notice = at - UPCOMING_DAYS * DAY
            is_told = is_told or subscription["cancel_at_period_end"]
        case _:
            at, notice = None, 0
    books.wake(subscription, at if at is None or is_told or notice <= books.now else notice)


def end(books: Books, subscription: Object, reason: str | None, *, status: str = "canceled") -> None:
    """End a subscription now, and try no more to have its invoices paid."""
    for invoice in invoices_of(books, subscription):
        if invoice["status"] in {"draft", "open"}:
            stop_attempts(books, invoice)
    books.wake(subscription, None)
    details = {
        **subscription["cancellation_details"],
        "reason": reason or subscription["cancellation_details"]["reason"],
    }
    changes = {
        "status": status,
        "ended_at": books.now,
        "canceled_at": subscription["canceled_at"] or books.now,
        "cancellation_details": details,
    }
    if status == "canceled":
        books.change(subscription, None, **changes)
        books.tell("customer.subscription.deleted", subscription)
    else:
        books.change(subscription, "customer.subscription.updated", **changes)


def pause(books: Books, subscription: Object) -> None:
    """Let a subscription rest."""
    books.wake(subscription, None)
    previous = {"status": subscription["status"]}
    books.change(subscription, None, status="paused")
    books.tell("customer.subscription.paused", subscription, previous)


def living(books: Books, subscription_id: str) -> Object:
    """A subscription that has not ended; raises Refusal for any other."""
    subscription = books.get("subscription", subscription_id)
    if subscription["status"] in ENDED:
        raise Refusal(f"No such subscription: '{subscription_id}'", status=404, code="resource_missing", param="id")
    return subscription


def product_name(books: Books, price: Object) -> str:
    """The name of what a price is for."""
    return str(books.get("product", price["product"])["name"])


def full_period(books: Books, price: Object, quantity: int, start: int, end: int) -> Line:
    """The line of an invoice for a whole period."""
    return Line(f"{quantity} x {product_name(books, price)}", quantity * price["unit_amount"], price, start, end)
