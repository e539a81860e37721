"""Invoices: drafts, final ones, paid and failed ones, and what they do to their subscription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.providers.stripe_simulator.books import Books, Object, listing, new_id
from app.providers.stripe_simulator.charging import DAY, confirm, make_intent
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.refusals import Refusal

# Days after each failed attempt until the next one; after the last the subscription is cancelled.
RETRY_DAYS = (3, 5, 7)
# A renewal's invoice is a draft for so long, as with Stripe.
DRAFT_SECONDS = 3600


class Line(NamedTuple):
    """What is charged, or given back where it is negative, in minor units, and for which time."""

    description: str
    amount: int
    price: Object
    start: int
    end: int
    is_proration: bool = False


def make_invoice(
    books: Books, subscription: Object, lines: Sequence[Line], reason: str, *, draft_seconds: int = 0
) -> Object:
    """A draft of what a subscription costs; it becomes final by ``finalize``, at once or after a while."""
    invoice = invoice_body(books, subscription, lines, reason, new_id("in"))
    books.add("invoice", invoice, event="invoice.created", intent=None)
    if draft_seconds:
        invoice["automatically_finalizes_at"] = books.now + draft_seconds
        books.wake(invoice, books.now + draft_seconds)
    return invoice


def invoice_body(books: Books, subscription: Object, lines: Sequence[Line], reason: str, invoice_id: str) -> Object:
    """An invoice as a draft, which is also what a preview answers."""
    customer = books.get("customer", subscription["customer"])
    total = sum(line.amount for line in lines)
    due = max(0, total + customer["balance"])
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Simulated account",
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": books.now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_address": None,
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listing(
            [_line(books, subscription, line, invoice_id) for line in lines], f"/v1/invoices/{invoice_id}/lines"
        ),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": subscription["metadata"], "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": ["card"]},
        "period_end": books.now,
        "period_start": books.now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": customer["balance"],
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


def _line(books: Books, subscription: Object, line: Line, invoice_id: str) -> Object:
    item = subscription["items"]["data"][0]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": line.amount,
        "currency": subscription["currency"],
        "description": line.description,
        "discount_amounts": [],
        "discountable": not line.is_proration,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": line.is_proration,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(line.price["unit_amount"]),
        },
        "quantity": item["quantity"],
        "subtotal": line.amount,
        "taxes": [],
    }


def finalize(books: Books, invoice: Object) -> None:
    """Make a draft final: it has a number, and what the customer has left is used first."""
    customer = books.get("customer", invoice["customer"])
    balance = customer["balance"]
    left = min(0, balance + invoice["total"])
    due = max(0, invoice["total"] + balance)
    number = customer["next_invoice_sequence"]
    books.wake(invoice, None)
    books.change(
        invoice,
        None,
        amount_due=due,
        amount_remaining=due,
        automatically_finalizes_at=None,
        effective_at=books.now,
        ending_balance=left,
        starting_balance=balance,
        hosted_invoice_url=f"{books.url}/invoices/{invoice['id']}",
        invoice_pdf=f"{books.url}/invoices/{invoice['id']}",
        number=f"{customer['invoice_prefix']}-{number:04}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": books.now},
    )
    books.change(
        customer, "customer.updated" if left != balance else None, balance=left, next_invoice_sequence=number + 1
    )
    books.tell("invoice.finalized", invoice)


def pay(books: Books, invoice: Object, method: Object | None, *, off_session: bool) -> str | None:
    """Try to have an open invoice paid; answers why not, or None where it is paid.

    An attempt that fails is followed by another one some days later, but for a subscription's first invoice.
    """
    if invoice["amount_due"] == 0:
        _settle(books, invoice, None)
        return None
    intent = _intent(books, invoice)
    decline = confirm(books, intent, method, off_session=off_session)
    attempts = invoice["attempt_count"] + 1
    if decline is None:
        invoice["attempt_count"], invoice["attempted"] = attempts, True
        _settle(books, invoice, intent)
        return None
    is_retried = invoice["billing_reason"] != "subscription_create" and attempts <= len(RETRY_DAYS)
    again_at = books.now + RETRY_DAYS[attempts - 1] * DAY if is_retried else None
    books.wake(invoice, again_at)
    books.change(
        invoice, None, attempt_count=attempts, attempted=True, next_payment_attempt=again_at, auto_advance=is_retried
    )
    books.tell("invoice.payment_failed", invoice)
    return decline


def _intent(books: Books, invoice: Object) -> Object:
    """The intent to be paid this invoice: one for all attempts."""
    notes = books.notes(invoice)
    if notes["intent"] is not None:
        return books.get("payment_intent", notes["intent"])
    customer = books.get("customer", invoice["customer"])
    intent = make_intent(
        books,
        customer,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        description=f"Invoice {invoice['number']}",
        metadata={},
    )
    notes["intent"] = intent["id"]
    books.save(invoice)
    return intent


def _settle(books: Books, invoice: Object, intent: Object | None) -> None:
    books.wake(invoice, None)
    books.change(
        invoice,
        None,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
        status="paid",
        status_transitions={**invoice["status_transitions"], "paid_at": books.now},
    )
    if intent is not None:
        payment = books.add("invoice_payment", _payment(books, invoice, intent))
        books.tell("invoice_payment.paid", payment)
    books.tell("invoice.paid", invoice)
    books.tell("invoice.payment_succeeded", invoice)


def _payment(books: Books, invoice: Object, intent: Object) -> Object:
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": invoice["amount_paid"],
        "amount_requested": invoice["amount_paid"],
        "created": books.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": books.now},
    }


def payments_of(books: Books, invoice: Object) -> Object:
    """The payments of an invoice, which its reader has to ask for."""
    payments = [entry for entry in books.listed("invoice_payment") if entry["invoice"] == invoice["id"]]
    return listing(payments, f"/v1/invoice_payments?invoice={invoice['id']}")


def stop_attempts(books: Books, invoice: Object) -> None:
    """Try no more to have an invoice paid; it stays open."""
    books.wake(invoice, None)
    books.change(invoice, "invoice.updated", next_payment_attempt=None, auto_advance=False)


def void_invoice(books: Books, asked: Parameters, invoice_id: str) -> Object:
    """Declare an open invoice void."""
    invoice = books.get("invoice", invoice_id)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise Refusal(f"You can only void open invoices; this one is {invoice['status']}.")
    books.wake(invoice, None)
    transitions = {**invoice["status_transitions"], "voided_at": books.now}
    books.change(
        invoice,
        None,
        status="void",
        auto_advance=False,
        next_payment_attempt=None,
        amount_remaining=0,
        status_transitions=transitions,
    )
    books.tell("invoice.voided", invoice)
    return invoice
