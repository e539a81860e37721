"""What happens to one customer at Stripe, as events in the shapes of its API 2026-10-28.endive."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

API_VERSION = "2026-10-28.endive"
BEGIN = 1_767_225_600
DAY = 86_400
STARTER, PRO, ENTERPRISE = "price_starter_monthly", "price_pro_monthly", "price_enterprise_monthly"
AMOUNTS = {STARTER: 1900, PRO: 4900, ENTERPRISE: 19900}

Event = dict[str, Any]


class Story:
    """What happens to one customer: each call changes objects as Stripe does, and tells it by events."""

    def __init__(self, name: str, tenant_id: int = 1) -> None:
        self.name, self.tenant_id, self.now = name, tenant_id, BEGIN
        self.customer_id = f"cus_{name}"
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[Event] = []
        self._numbers = itertools.count(1)
        self.tell(
            "customer.created",
            self._new(
                "cus",
                "customer",
                id=self.customer_id,
                email=None,
                default_source=None,
                invoice_settings={"default_payment_method": None},
                metadata={"tenant_id": str(tenant_id)},
                deleted=None,
            ),
        )

    def wait(self, seconds: int) -> None:
        """Let time pass; without it events are of the same second."""
        self.now += seconds

    def tell(self, kind: str, found: Mapping[str, Any], previous: Mapping[str, Any] | None = None) -> None:
        """One event with the object as it is."""
        shown = {
            name: value for name, value in copy.deepcopy(dict(found)).items() if value is not None or name != "deleted"
        }
        data: dict[str, Any] = {"object": shown}
        if previous is not None:
            data["previous_attributes"] = copy.deepcopy(dict(previous))
        number = len(self.events) + 1
        self.events.append(
            {
                "id": f"evt_{self.name}_{number:04}",
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now,
                "data": data,
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            }
        )

    def change(self, kind: str, object_id: str, **changes: Any) -> dict[str, Any]:
        """Change members of an object, and tell it with the values that they had."""
        found = self.objects[object_id]
        previous = {name: found[name] for name, value in changes.items() if found[name] != value}
        found.update(changes)
        self.tell(kind, found, previous)
        return found

    def card(self, last4: str = "4242") -> str:
        """A card that is the customer's default from now on."""
        found = self._new(
            "pm",
            "payment_method",
            type="card",
            customer=self.customer_id,
            card={"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2030},
        )
        self.tell("payment_method.attached", found)
        self.change("customer.updated", self.customer_id, invoice_settings={"default_payment_method": found["id"]})
        return str(found["id"])

    def drop_card(self, card_id: str) -> None:
        """The card is no longer the customer's."""
        self.change("payment_method.detached", card_id, customer=None)

    def subscribe(self, price: str, *, trial_days: int = 0, paid: bool = True) -> str:
        """A subscription through a checkout session: several events of one second."""
        session = self._session("subscription", AMOUNTS[price] if not trial_days else 0, type="subscription_upgrade")
        trial_end = self.now + trial_days * DAY if trial_days else None
        found = self._new(
            "sub",
            "subscription",
            customer=self.customer_id,
            status="trialing" if trial_days else "incomplete",
            items=self._items(price, trial_days or 30),
            cancel_at_period_end=False,
            cancel_at=None,
            canceled_at=None,
            trial_end=trial_end,
            latest_invoice=None,
            default_payment_method=None,
            ended_at=None,
            metadata={"tenant_id": str(self.tenant_id)},
        )
        self.tell("customer.subscription.created", found)
        if trial_days:
            self._finish_session(session, subscription=found["id"], payment_status="no_payment_required")
            return str(found["id"])
        invoice = self.bill(str(found["id"]), reason="subscription_create")
        if paid:
            self.pay(invoice)
            self.change("customer.subscription.updated", str(found["id"]), status="active")
            self._finish_session(session, subscription=found["id"], payment_status="paid")
        else:
            self.fail(invoice)
        return str(found["id"])

    def bill(self, subscription_id: str, *, reason: str = "subscription_cycle") -> str:
        """An invoice that is open: created, finalized, and named by its subscription."""
        subscription = self.objects[subscription_id]
        price = subscription["items"]["data"][0]["price"]["id"]
        amount = AMOUNTS[price]
        invoice = self._new(
            "in",
            "invoice",
            customer=self.customer_id,
            status="draft",
            billing_reason=reason,
            number=None,
            total=amount,
            amount_due=amount,
            amount_paid=0,
            attempted=False,
            attempt_count=0,
            description=None,
            lines={"object": "list", "data": [{"description": f"1 x {price}", "amount": amount}]},
            hosted_invoice_url=None,
            payments={"object": "list", "data": []},
            parent={
                "type": "subscription_details",
                "subscription_details": {"subscription": subscription_id, "metadata": {}},
            },
            status_transitions={"finalized_at": None, "paid_at": None, "voided_at": None},
        )
        self.tell("invoice.created", invoice)
        self.change(
            "invoice.finalized",
            str(invoice["id"]),
            status="open",
            number=f"A-{invoice['id']}",
            hosted_invoice_url=f"https://invoice.stripe.com/i/{invoice['id']}",
            status_transitions={**invoice["status_transitions"], "finalized_at": self.now},
        )
        subscription["latest_invoice"] = invoice["id"]
        return str(invoice["id"])

    def pay(self, invoice_id: str) -> str:
        """The invoice is paid: a charge, the payment of the invoice, and the invoice itself, in one second."""
        invoice = self.objects[invoice_id]
        intent = f"pi_{self.name}_{next(self._numbers)}"
        self._charge(intent, invoice["total"])
        payment = self._new(
            "inpay",
            "invoice_payment",
            invoice=invoice_id,
            status="paid",
            amount_paid=invoice["total"],
            payment={"type": "payment_intent", "payment_intent": intent},
        )
        self.tell("invoice_payment.paid", payment)
        self.change(
            "invoice.paid",
            invoice_id,
            status="paid",
            amount_paid=invoice["total"],
            attempted=True,
            attempt_count=invoice["attempt_count"] + 1,
            status_transitions={**invoice["status_transitions"], "paid_at": self.now},
        )
        self.tell("invoice.payment_succeeded", invoice)
        return intent

    def fail(self, invoice_id: str) -> None:
        """An attempt to pay the invoice fails."""
        invoice = self.objects[invoice_id]
        self.change("invoice.payment_failed", invoice_id, attempted=True, attempt_count=invoice["attempt_count"] + 1)

    def renew(self, subscription_id: str, *, paid: bool = True) -> str:
        """The next period begins, and its invoice is paid or not; the payment's intent, or the invoice that is owed."""
        subscription = self.objects[subscription_id]
        price = subscription["items"]["data"][0]["price"]["id"]
        changes: dict[str, Any] = {"items": self._items(price, 30, subscription["items"]["data"][0]["id"])}
        if subscription["status"] == "trialing":
            changes["status"] = "active"
        self.change("customer.subscription.updated", subscription_id, **changes)
        invoice = self.bill(subscription_id)
        if paid:
            return self.pay(invoice)
        self.fail(invoice)
        self.change("customer.subscription.updated", subscription_id, status="past_due")
        return invoice

    def recover(self, subscription_id: str, invoice_id: str) -> str:
        """What was owed is paid after all."""
        intent = self.pay(invoice_id)
        self.change("customer.subscription.updated", subscription_id, status="active")
        return intent

    def change_plan(self, subscription_id: str, price: str) -> None:
        """Another price on the same item, at once."""
        item = self.objects[subscription_id]["items"]["data"][0]["id"]
        self.change("customer.subscription.updated", subscription_id, items=self._items(price, 30, item))

    def end(self, subscription_id: str) -> None:
        """The subscription is over."""
        found = self.objects[subscription_id]
        found.update(status="canceled", ended_at=self.now, canceled_at=found["canceled_at"] or self.now)
        self.tell("customer.subscription.deleted", found)

    def buy_codes(self, quantity: int, *, later: bool = False) -> str:
        """Codes are bought, paid at once or later; the payment's intent."""
        session = self._session(
            "payment", quantity * 500, type="activation_codes", quantity=str(quantity), label="Team"
        )
        self.wait(40)
        intent = f"pi_{self.name}_{next(self._numbers)}"
        if later:
            self._finish_session(session, payment_intent=intent, payment_status="unpaid")
            self.wait(3 * DAY)
            self._charge(intent, quantity * 500)
            self.change("checkout.session.async_payment_succeeded", session, payment_status="paid")
        else:
            self._charge(intent, quantity * 500)
            self._finish_session(session, payment_intent=intent, payment_status="paid")
        return intent

    def leave_checkout(self, quantity: int) -> None:
        """A session that nobody has paid in."""
        session = self._session(
            "payment", quantity * 500, type="activation_codes", quantity=str(quantity), label="Team"
        )
        self.wait(DAY)
        self.change("checkout.session.expired", session, status="expired")

    def refund(self, intent: str, amount: int) -> None:
        """So much of a payment is given back."""
        charge = self._charge_of(intent)
        given_back = charge["amount_refunded"] + amount
        self.change(
            "charge.refunded", charge["id"], amount_refunded=given_back, refunded=given_back == charge["amount"]
        )

    def dispute(self, intent: str) -> str:
        """The customer's bank takes the payment back for now."""
        charge = self._charge_of(intent)
        found = self._new(
            "dp",
            "dispute",
            charge=charge["id"],
            payment_intent=intent,
            amount=charge["amount"],
            status="needs_response",
            reason="fraudulent",
        )
        self.tell("charge.dispute.created", found)
        return str(found["id"])

    def _charge_of(self, intent: str) -> dict[str, Any]:
        return next(
            each for each in self.objects.values() if each["object"] == "charge" and each["payment_intent"] == intent
        )

    def _charge(self, intent: str, amount: int) -> None:
        charge = self._new(
            "ch",
            "charge",
            customer=self.customer_id,
            payment_intent=intent,
            amount=amount,
            amount_refunded=0,
            refunded=False,
            paid=True,
            status="succeeded",
            disputed=False,
            payment_method_details={"type": "card", "card": {"last4": "4242", "brand": "visa"}},
        )
        self.tell("charge.succeeded", charge)

    def _session(self, mode: str, amount: int, **metadata: str) -> str:
        session = self._new(
            "cs",
            "checkout.session",
            customer=self.customer_id,
            mode=mode,
            status="open",
            payment_status="unpaid",
            amount_total=amount,
            subscription=None,
            payment_intent=None,
            expires_at=self.now + DAY,
            metadata={"tenant_id": str(self.tenant_id), **metadata},
        )
        return str(session["id"])

    def _finish_session(self, session_id: str, **changes: Any) -> None:
        found = self.objects[session_id]
        found.update(status="complete", **changes)
        self.tell("checkout.session.completed", found)

    def _items(self, price: str, days: int, item_id: str | None = None) -> dict[str, Any]:
        item = {
            "id": item_id or f"si_{self.name}_{next(self._numbers)}",
            "object": "subscription_item",
            "quantity": 1,
            "price": {
                "id": price,
                "object": "price",
                "currency": "usd",
                "unit_amount": AMOUNTS[price],
                "recurring": {"interval": "month", "interval_count": 1},
            },
            "current_period_start": self.now,
            "current_period_end": self.now + days * DAY,
        }
        return {"object": "list", "data": [item], "has_more": False}

    def _new(self, prefix: str, kind: str, **members: Any) -> dict[str, Any]:
        object_id = members.pop("id", None) or f"{prefix}_{self.name}_{next(self._numbers)}"
        found = {"id": object_id, "object": kind, "created": self.now, "livemode": False, "currency": "usd", **members}
        self.objects[str(object_id)] = found
        return found
