"""Payments: intents, charges, refunds and disputes."""

from __future__ import annotations

from app.providers.stripe_simulator.books import Books, Object, new_id
from app.providers.stripe_simulator.cards import MESSAGES
from app.providers.stripe_simulator.catalogue import billing_details, card_of
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.refusals import Refusal, wrong

DISPUTE_DAYS = 20
DAY = 86_400


def make_intent(
    books: Books,
    customer: Object,
    *,
    amount: int,
    currency: str,
    description: str | None,
    metadata: dict[str, str],
    method: Object | None = None,
) -> Object:
    """The intent to be paid an amount."""
    intent_id = new_id("pi")
    return books.add(
        "payment_intent",
        {
            "id": intent_id,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "application": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{intent_id}_secret_simulated",
            "confirmation_method": "automatic",
            "created": books.now,
            "currency": currency,
            "customer": customer["id"],
            "description": description,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": metadata,
            "next_action": None,
            "payment_method": None if method is None else method["id"],
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "setup_future_usage": None,
            "status": "requires_payment_method",
        },
        event="payment_intent.created",
    )


def confirm(books: Books, intent: Object, method: Object | None, *, off_session: bool) -> str | None:
    """Try to be paid with a payment method; answers why not, or None where it was paid."""
    if method is None:
        decline: str | None = "card_declined"
        message = "There is no payment method."
    else:
        decline = card_of(books, method).refuses(off_session=off_session)
        message = MESSAGES.get(decline or "", "")
    charge = None if method is None else _charge(books, intent, method, decline, message)
    changes: Object = {
        "latest_charge": charge and charge["id"],
        "payment_method": None if method is None or decline else method["id"],
        "status": "requires_payment_method" if decline else "succeeded",
        "amount_received": 0 if decline else intent["amount"],
        "last_payment_error": _error(decline, message, method, charge) if decline else None,
    }
    books.change(intent, None, **changes)
    books.tell("payment_intent.payment_failed" if decline else "payment_intent.succeeded", intent)
    if charge is not None and method is not None and not decline and card_of(books, method).is_disputed:
        dispute(books, charge)
    return decline


def _charge(books: Books, intent: Object, method: Object, decline: str | None, message: str) -> Object:
    customer = books.get("customer", intent["customer"])
    card = method["card"]
    charge_id = new_id("ch")
    return books.add(
        "charge",
        {
            "id": charge_id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0 if decline else intent["amount"],
            "amount_refunded": 0,
            "application": None,
            "balance_transaction": None if decline else new_id("txn"),
            "billing_details": billing_details(customer),
            "calculated_statement_descriptor": "SIMULATED",
            "captured": not decline,
            "created": books.now,
            "currency": intent["currency"],
            "customer": customer["id"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": decline,
            "failure_message": message or None,
            "fraud_details": {},
            "livemode": False,
            "metadata": intent["metadata"],
            "outcome": {
                "network_status": "declined_by_network" if decline else "approved_by_network",
                "reason": decline,
                "risk_level": "normal",
                "seller_message": message or "Payment complete.",
                "type": "issuer_declined" if decline else "authorized",
            },
            "paid": not decline,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {
                "card": {
                    "brand": card["brand"],
                    "country": card["country"],
                    "exp_month": card["exp_month"],
                    "exp_year": card["exp_year"],
                    "funding": card["funding"],
                    "last4": card["last4"],
                    "network": card["brand"],
                },
                "type": "card",
            },
            "receipt_email": None,
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "status": "failed" if decline else "succeeded",
        },
        event="charge.failed" if decline else "charge.succeeded",
    )


def _error(decline: str | None, message: str, method: Object | None, charge: Object | None) -> Object:
    return {
        "charge": charge and charge["id"],
        "code": decline,
        "decline_code": decline if decline != "card_declined" else "generic_decline",
        "message": message,
        "payment_method": method,
        "type": "card_error",
    }


def create_refund(books: Books, asked: Parameters) -> Object:
    """Give back a charge, or a part of it."""
    charge = _charge_of(books, asked)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = asked.number("amount", left)
    if not charge["paid"] or left <= 0:
        raise Refusal(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        raise wrong("amount", f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})")
    refund = books.add(
        "refund",
        {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": new_id("txn"),
            "charge": charge["id"],
            "created": books.now,
            "currency": charge["currency"],
            "destination_details": {"type": "card"},
            "metadata": asked.metadata(),
            "payment_intent": charge["payment_intent"],
            "reason": asked.optional("reason"),
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "succeeded",
            "transfer_reversal": None,
        },
        event="refund.created",
    )
    refunded = charge["amount_refunded"] + amount
    books.change(charge, "charge.refunded", amount_refunded=refunded, refunded=refunded == charge["amount_captured"])
    return refund


def _charge_of(books: Books, asked: Parameters) -> Object:
    if charge_id := asked.text("charge"):
        return books.get("charge", charge_id)
    intent = books.get("payment_intent", asked.needed("payment_intent"))
    if intent["latest_charge"] is None:
        raise Refusal("This PaymentIntent does not have a successful charge to refund.")
    return books.get("charge", intent["latest_charge"])


def dispute(books: Books, charge: Object) -> Object:
    """Let the holder of the card dispute a charge."""
    due = books.now + DISPUTE_DAYS * DAY
    disputed = books.add(
        "dispute",
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": books.now,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {
                "due_by": due,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "fraudulent",
            "status": "needs_response",
        },
    )
    books.wake(disputed, due)
    books.change(charge, "charge.updated", disputed=True)
    books.tell("charge.dispute.created", disputed)
    books.tell("charge.dispute.funds_withdrawn", disputed)
    return disputed


def close_dispute(books: Books, asked: Parameters, dispute_id: str) -> Object:
    """Let a dispute be lost, which is also what time does where nobody answers it."""
    disputed = books.get("dispute", dispute_id)
    if disputed["status"] != "lost":
        books.wake(disputed, None)
        books.change(disputed, "charge.dispute.closed", status="lost")
    return disputed
