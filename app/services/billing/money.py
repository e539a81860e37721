"""Invoices, means of payment, checkout sessions and what was given back, as they follow from a customer's facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from app.services.billing.facts import (
    Snapshot,
    UnreadableFactError,
    amount_of,
    metadata_of,
    moment_of,
    number_in,
    reference_to,
)
from app.services.billing.state import (
    InvoiceStanding,
    InvoiceState,
    PaymentMethodState,
    PaymentState,
    SessionStanding,
    SessionState,
)
from app.services.billing.view import History, View

CURRENCY: Final = "usd"
MAX_DESCRIPTION: Final = 500
MAX_LABEL: Final = 255
MAX_QUANTITY: Final = 100


def invoice_state(view: View, history: History, payments: Sequence[PaymentState]) -> InvoiceState | None:
    """An invoice; None for a draft, which nobody owes yet. Raises UnreadableFactError."""
    found = history.object
    status = found.get("status")
    if status == "draft" or found.get("deleted"):
        return None
    state: InvoiceStanding = "pending"
    if status == "paid" or found.get("paid") is True:
        state = "paid"
    elif status in {"void", "uncollectible"} or found.get("attempted") or _first(view, history, _has_failed):
        state = "failed"
    transitions = _part(found, "status_transitions")
    created = moment_of(transitions.get("finalized_at")) or moment_of(found.get("created")) or history.newest.at
    total = next((found[name] for name in ("total", "amount_due", "amount_paid") if found.get(name) is not None), 0)
    intents = set(_intents_of(view, history))
    paid = _first(view, history, lambda each: each.object.get("status") == "paid")
    return InvoiceState(
        stripe_invoice_id=history.id,
        state=state,
        amount=amount_of(total),
        amount_refunded=sum(each.lost for each in payments if each.payment_intent_id in intents),
        currency=_currency(found),
        description=_description(found),
        url=_web_address(found.get("hosted_invoice_url")),
        card_last4=_card_of(view, intents),
        issued_at=created,
        paid_at=moment_of(transitions.get("paid_at")) or (paid or history.newest).at if state == "paid" else None,
    )


def payment_method_state(view: View, history: History) -> PaymentMethodState | None:
    """A means of payment; None once it is no longer the customer's. Raises UnreadableFactError."""
    found = history.object
    if reference_to(found.get("customer")) is None:
        return None
    card = _part(found, "card")
    return PaymentMethodState(
        stripe_payment_method_id=history.id,
        type=str(found.get("type") or "card")[:50],
        brand=_text(card.get("brand"), 50),
        last4=_text(card.get("last4"), 4),
        exp_month=card.get("exp_month") and amount_of(card["exp_month"]),
        exp_year=card.get("exp_year") and amount_of(card["exp_year"]),
        is_default=history.id == _default_payment_method(view),
    )


def session_state(view: View, history: History) -> SessionState:
    """A checkout session; raises UnreadableFactError where its metadata are not those of the portal's sessions."""
    found, metadata = history.object, metadata_of(history.object)
    kind = {"activation_codes": "codes", "subscription_upgrade": "subscription"}.get(
        str(metadata.get("type")), "subscription" if found.get("mode") == "subscription" else "unknown"
    )
    paid = _first(view, history, lambda each: _is_paid(each.object))
    if paid is not None:
        # Sessions go forward: what was paid for once is paid for, whatever is told later.
        found = paid.object if not _is_paid(found) else found
    state: SessionStanding = "open"
    if paid is not None:
        state = "paid"
    elif any(each.type.endswith(".async_payment_failed") for each in history.snapshots):
        state = "failed"
    elif found.get("status") == "expired" or history.newest.type.endswith(".expired"):
        state = "expired"
    quantity = number_in(metadata, "quantity")
    if kind == "codes" and (quantity is None or quantity > MAX_QUANTITY):
        raise UnreadableFactError(f"its metadata name no quantity from 1 to {MAX_QUANTITY}")
    return SessionState(
        stripe_session_id=history.id,
        state=state,
        kind=kind,
        tenant_id=number_in(metadata, "tenant_id"),
        checkout_id=number_in(metadata, "checkout_id"),
        plan_id=number_in(metadata, "plan_id"),
        quantity=quantity,
        label=_text(metadata.get("label"), MAX_LABEL),
        amount=amount_of(found.get("amount_total")),
        currency=_currency(found),
        payment_intent_id=reference_to(found.get("payment_intent")),
        stripe_subscription_id=reference_to(found.get("subscription")),
        created_at=moment_of(found.get("created")) or min(each.at for each in history.snapshots),
        completed_at=paid.at if paid is not None else None,
    )


def payments_of(view: View) -> tuple[PaymentState, ...]:
    """The payments of which something was given back or is disputed.

    A dispute that was won changes nothing: the codes that it took back stay taken back, whatever is told first.
    """
    charges = {history.id: history for history in view.of("charge")}
    disputed: dict[str, int] = {}
    amounts: dict[str, int] = {}
    refunded: dict[str, int] = {}
    for history in charges.values():
        if (intent := reference_to(history.object.get("payment_intent"))) is not None:
            view.read(history, lambda each, intent=intent: _count_charge(each, intent, amounts, refunded))  # type: ignore[misc]
    for history in view.of("dispute"):
        charge = charges.get(reference_to(history.object.get("charge")) or "")
        intent = reference_to(history.object.get("payment_intent"))
        if intent is None and charge is not None:
            intent = reference_to(charge.object.get("payment_intent"))
        # An inquiry takes no money.
        if intent is not None and not all(_is_inquiry(each.object) for each in history.snapshots):
            view.read(history, lambda each, intent=intent: _count_dispute(each, intent, disputed))  # type: ignore[misc]
    lost = {intent: max(refunded.get(intent, 0), disputed.get(intent, 0)) for intent in {*refunded, *disputed}}
    return tuple(
        PaymentState(intent, amounts.get(intent, lost[intent]), lost[intent], intent in disputed)
        for intent in sorted(lost)
        if lost[intent] > 0
    )


def _count_charge(history: History, intent: str, amounts: dict[str, int], refunded: dict[str, int]) -> None:
    found = history.object
    given_back = amount_of(found.get("amount_refunded"))
    if given_back:
        amounts[intent] = amounts.get(intent, 0) + amount_of(found.get("amount"))
        refunded[intent] = refunded.get(intent, 0) + given_back


def _count_dispute(history: History, intent: str, disputed: dict[str, int]) -> None:
    disputed[intent] = disputed.get(intent, 0) + amount_of(history.object.get("amount"))


def _is_inquiry(dispute: Mapping[str, Any]) -> bool:
    return str(dispute.get("status")).startswith("warning_")


def _is_paid(session: Mapping[str, Any]) -> bool:
    status = session.get("payment_status")
    is_free = status == "no_payment_required" and session.get("mode") == "subscription"
    return (status == "paid" or is_free) and session.get("status") in {"complete", None}


def _has_failed(snapshot: Snapshot) -> bool:
    return snapshot.type == "invoice.payment_failed"


def _first(view: View, history: History, is_meant: Callable[[Snapshot], bool]) -> Snapshot | None:
    """The earliest of the snapshots that are meant, which is current; the same one of equally early ones."""
    meant = [each for each in history.snapshots if is_meant(each)]
    first = min(meant, key=lambda each: (each.place, each.reference), default=None)
    if first is not None:
        view.current.add(first.fact_id)
    return first


def _intents_of(view: View, invoice: History) -> Iterator[str]:
    """The payments by which an invoice was paid: it names them itself, or others say so."""
    payments = _part(invoice.object, "payments").get("data") or ()
    named = [each for each in payments if isinstance(each, Mapping)]
    named += [
        each.object for each in view.of("invoice_payment") if reference_to(each.object.get("invoice")) == invoice.id
    ]
    for each in named:
        if (intent := reference_to(_part(each, "payment").get("payment_intent"))) is not None:
            yield intent


def _card_of(view: View, intents: set[str]) -> str | None:
    for charge in view.of("charge"):
        if reference_to(charge.object.get("payment_intent")) in intents and charge.object.get("paid") is not False:
            return _text(_part(_part(charge.object, "payment_method_details"), "card").get("last4"), 4)
    return None


def _default_payment_method(view: View) -> str | None:
    """The customer's, and where it has none that of its newest subscription."""
    for customer in view.of("customer"):
        if default := reference_to(_part(customer.object, "invoice_settings").get("default_payment_method")):
            return default
    subscriptions = sorted(view.of("subscription"), key=lambda each: (each.object.get("created") or 0, each.id))
    named = [reference_to(each.object.get("default_payment_method")) for each in subscriptions]
    return next((each for each in reversed(named) if each is not None), None)


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, Mapping) else {}


def _description(invoice: Mapping[str, Any]) -> str:
    lines = _part(invoice, "lines").get("data") or ()
    first = lines[0] if isinstance(lines, list) and lines and isinstance(lines[0], Mapping) else {}
    said = invoice.get("description") or first.get("description") or f"Invoice {invoice.get('number') or ''}".strip()
    return str(said)[:MAX_DESCRIPTION]


def _currency(found: Mapping[str, Any]) -> str:
    currency = found.get("currency")
    return currency.lower() if isinstance(currency, str) and len(currency) == 3 else CURRENCY


def _text(value: object, length: int) -> str | None:
    return str(value)[:length] if value not in {None, ""} else None


def _web_address(value: object) -> str | None:
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None
