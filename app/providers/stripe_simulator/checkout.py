"""Checkout sessions: opened by the API, paid, declined or left on their page, expired by time."""

from __future__ import annotations

from typing import Any

from app.providers.stripe_simulator.books import Books, Object, listing, new_id
from app.providers.stripe_simulator.cards import MESSAGES, Card
from app.providers.stripe_simulator.catalogue import (
    attach_card,
    create_customer,
    find_price,
    living_customer,
    make_price,
    make_product,
)
from app.providers.stripe_simulator.charging import DAY, confirm, make_intent
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.refusals import Refusal, wrong
from app.providers.stripe_simulator.subscriptions import begin

MIN_OPEN_SECONDS, MAX_OPEN_SECONDS = 1800, DAY
# A debit of a bank account is settled, or comes back, after some days.
DEBIT_DAYS = 3
DEBIT = "us_bank_account"


def open_session(books: Books, asked: Parameters) -> Object:
    """A new session, with the address of the page where somebody pays."""
    mode = asked.needed("mode")
    if mode not in {"subscription", "payment"}:
        raise wrong("mode", "The simulator has the modes subscription and payment.")
    customer = asked.optional("customer")
    if customer is not None:
        living_customer(books, customer)
    if asked.address("success_url") is None:
        raise wrong("success_url", "Missing required param: success_url.")
    lines = [_line(books, mode, line) for line in asked.entries("line_items")]
    if not lines or (mode == "subscription" and len(lines) != 1):
        raise wrong("line_items", "A subscription needs one line, a payment at least one.")
    session_id = new_id("cs_test")
    total = sum(line["amount_total"] for line in lines)
    data = asked.nested("subscription_data" if mode == "subscription" else "payment_intent_data")
    session = _body(books, asked, session_id, mode, customer, lines[0]["currency"], total)
    books.add(
        "checkout.session",
        session,
        lines=lines,
        metadata=data.metadata(),
        description=data.optional("description"),
        trial_days=data.number("trial_period_days"),
        trial_end=data.number("trial_end") or None,
    )
    books.wake(session, session["expires_at"])
    return session


def _line(books: Books, mode: str, asked: Parameters) -> Object:
    quantity = asked.number("quantity", 1)
    if price_id := asked.text("price"):
        price = find_price(books, price_id)
    else:
        data = asked.nested("price_data")
        product = make_product(books, data.nested("product_data").needed("name"), {})
        interval = data.nested("recurring").optional("interval")
        price = make_price(
            books, new_id("price"), product, data.number("unit_amount"), data.needed("currency").lower(), interval
        )
    if (price["recurring"] is not None) != (mode == "subscription"):
        raise wrong("line_items", f"The price {price['id']} does not fit the mode {mode}.")
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": books.get("product", price["product"])["name"],
        "price": price,
        "quantity": quantity,
    }


def _body(
    books: Books, asked: Parameters, session_id: str, mode: str, customer: str | None, currency: str, total: int
) -> Object:
    expires_at = asked.number("expires_at", books.now + MAX_OPEN_SECONDS)
    if not MIN_OPEN_SECONDS <= expires_at - books.now <= MAX_OPEN_SECONDS:
        raise wrong("expires_at", "A session is open for half an hour at least and for a day at most.")
    types = asked.texts("payment_method_types") or ["card"]
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": asked.address("cancel_url"),
        "client_reference_id": asked.optional("client_reference_id"),
        "client_secret": None,
        "consent": None,
        "consent_collection": None,
        "created": books.now,
        "currency": currency,
        "custom_fields": [],
        "customer": customer,
        "customer_creation": None if customer else "always",
        "customer_details": None,
        "customer_email": asked.optional("customer_email"),
        "discounts": [],
        "expires_at": expires_at,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "metadata": asked.metadata(),
        "mode": mode,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always",
        "payment_method_types": types,
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": asked.address("success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{books.url}/checkout/{session_id}",
    }


def pay_session(books: Books, session_id: str, card: Card) -> str | None:
    """Pay with a card; answers what the page says where it is declined, and None where it was paid."""
    session, customer = _taken(books, session_id)
    if (decline := card.refuses(off_session=False)) is not None:
        if session["mode"] == "payment":
            confirm(books, _intent(books, session, customer), attach_card(books, customer, card), off_session=False)
        return MESSAGES[decline]
    method = attach_card(books, customer, card)
    if session["mode"] == "subscription":
        changes = _subscribe(books, session, customer, method)
    else:
        intent = _intent(books, session, customer)
        confirm(books, intent, method, off_session=False)
        changes = {"payment_intent": intent["id"], "payment_status": "paid"}
    _complete(books, session, customer, changes)
    return None


def debit_session(books: Books, session_id: str, *, will_fail: bool) -> None:
    """Let a bank account be debited: the session is complete, and paid or not some days later."""
    session, customer = _taken(books, session_id)
    if session["mode"] != "payment" or DEBIT not in session["payment_method_types"]:
        raise Refusal("This session is not paid by debit.")
    intent = _intent(books, session, customer)
    books.change(intent, None, status="processing")
    books.tell("payment_intent.processing", intent)
    _complete(books, session, customer, {"payment_intent": intent["id"]})
    books.notes(session)["debit_fails"] = will_fail
    books.wake(session, books.now + DEBIT_DAYS * DAY)


def _taken(books: Books, session_id: str) -> tuple[Object, Object]:
    """An open session and whose it is: a new customer's where it was opened for none."""
    session = books.get("checkout.session", session_id)
    if session["status"] != "open":
        raise Refusal(f"This session is {session['status']}.")
    if session["customer"] is None:
        values = {"email": session["customer_email"] or "somebody@example.com"}
        session["customer"] = create_customer(books, Parameters(values))["id"]
        books.save(session)
    return session, living_customer(books, session["customer"])


def _subscribe(books: Books, session: Object, customer: Object, method: Object) -> Object:
    notes = books.notes(session)
    line = notes["lines"][0]
    subscription = begin(
        books,
        customer,
        find_price(books, line["price"]["id"]),
        quantity=line["quantity"],
        metadata=notes["metadata"],
        trial_end=books.now + notes["trial_days"] * DAY if notes["trial_days"] else notes["trial_end"],
        method_id=method["id"],
        off_session=False,
    )
    is_free = subscription["status"] == "trialing"
    return {
        "subscription": subscription["id"],
        "invoice": subscription["latest_invoice"],
        "payment_status": "no_payment_required" if is_free else "paid",
    }


def _intent(books: Books, session: Object, customer: Object) -> Object:
    """The intent to be paid: one for all attempts in a session."""
    notes = books.notes(session)
    if (known := notes.get("intent")) is not None:
        return books.get("payment_intent", known)
    intent = make_intent(
        books,
        customer,
        amount=session["amount_total"],
        currency=session["currency"],
        description=notes["description"],
        metadata=notes["metadata"],
    )
    notes["intent"] = intent["id"]
    books.save(session)
    return intent


def _complete(books: Books, session: Object, customer: Object, changes: Object) -> None:
    details = {"address": None, "email": customer["email"], "name": customer["name"], "phone": None}
    books.wake(session, None)
    books.change(
        session,
        None,
        status="complete",
        url=None,
        customer_details={**details, "tax_exempt": "none", "tax_ids": []},
        **changes,
    )
    books.tell("checkout.session.completed", session)


def expire_session(books: Books, asked: Parameters, session_id: str) -> Object:
    """Close an open session, so that nobody pays in it."""
    session = books.get("checkout.session", session_id)
    if session["status"] != "open":
        raise Refusal(f'Only Checkout Sessions with a status in ["open"] can be expired; this is {session["status"]}.')
    _expire(books, session)
    return session


def _expire(books: Books, session: Object) -> None:
    books.wake(session, None)
    books.change(session, None, status="expired", url=None)
    books.tell("checkout.session.expired", session)


def time_is_up(books: Books, session: Object) -> None:
    """An open session expires; a debit is settled or comes back."""
    if session["status"] == "open":
        _expire(books, session)
        return
    intent = books.get("payment_intent", session["payment_intent"])
    if books.notes(session)["debit_fails"]:
        books.change(intent, None, status="requires_payment_method")
        books.tell("payment_intent.payment_failed", intent)
        books.tell("checkout.session.async_payment_failed", session)
        return
    books.change(intent, None, status="succeeded", amount_received=intent["amount"])
    books.tell("payment_intent.succeeded", intent)
    books.change(session, None, payment_status="paid")
    books.tell("checkout.session.async_payment_succeeded", session)


def lines_of(books: Books, session: Object) -> Object:
    """What a session is to be paid for, as the API lists it."""
    lines: list[Any] = books.notes(session)["lines"]
    return listing(lines, f"/v1/checkout/sessions/{session['id']}/line_items")
