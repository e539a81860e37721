"""The simulator's API: which request does what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from app.providers.stripe_simulator import catalogue, charging, checkout, invoices, portal_sessions, tables
from app.providers.stripe_simulator import subscription_changes as subscriptions
from app.providers.stripe_simulator.books import Books, Object, listing
from app.providers.stripe_simulator.cards import MESSAGES
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.portal_sessions import CONFIGURATION
from app.providers.stripe_simulator.proration import preview
from app.providers.stripe_simulator.refusals import Refusal, missing
from app.providers.stripe_simulator.subscriptions import ENDED

ACCOUNT = "acct_simulated"
MAX_PAGE, PAGE = 100, 10

Operation = Callable[..., Object]

# Where the objects of a kind are.
PLACES = {
    "charge": "charges",
    "checkout.session": "checkout/sessions",
    "customer": "customers",
    "dispute": "disputes",
    "invoice": "invoices",
    "invoice_payment": "invoice_payments",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "price": "prices",
    "product": "products",
    "refund": "refunds",
    "subscription": "subscriptions",
}


def retrieve(books: Books, asked: Parameters, object_id: str, *, kind: str) -> Object:
    """One object."""
    return catalogue.find_price(books, object_id) if kind == "price" else books.get(kind, object_id)


def page(books: Books, asked: Parameters, *, kind: str, customer: str | None = None) -> Object:
    """A page of the objects of a kind, the newest first."""
    found = [
        each for each in books.listed(kind, customer or asked.optional("customer")) if _is_wanted(each, kind, asked)
    ]
    if (after := asked.text("starting_after")) in (ids := [each["id"] for each in found]):
        found = found[ids.index(after) + 1 :]
    limit = min(MAX_PAGE, max(1, asked.number("limit", PAGE)))
    return listing(found[:limit], f"/v1/{PLACES[kind]}", has_more=len(found) > limit)


def _is_wanted(each: Object, kind: str, asked: Parameters) -> bool:
    """Whether an object is one of those that were asked for: without asking, no ended subscription is."""
    if each.get("deleted"):
        return False
    status = asked.text("status")
    if kind == "subscription" and status in {"", "all"}:
        return status == "all" or each["status"] not in ENDED
    wanted = {"status": status, **{name: asked.text(name) for name in ("invoice", "payment_intent", "charge")}}
    if kind == "invoice" and (subscription := asked.text("subscription")):
        return bool(each["parent"]["subscription_details"]["subscription"] == subscription)
    return all(each.get(name) == value for name, value in wanted.items() if value)


def _pay_invoice(books: Books, asked: Parameters, invoice_id: str) -> Object:
    if (decline := portal_sessions.pay_invoice(books, invoice_id)) is not None:
        raise Refusal(MESSAGES[decline], status=402, kind="card_error", code=decline, is_recorded=True)
    return books.get("invoice", invoice_id)


def _lines(books: Books, asked: Parameters, session_id: str) -> Object:
    return checkout.lines_of(books, books.get("checkout.session", session_id))


def _methods_of(books: Books, asked: Parameters, customer_id: str) -> Object:
    catalogue.living_customer(books, customer_id)
    return page(books, asked, kind="payment_method", customer=customer_id)


def _account(books: Books, asked: Parameters) -> Object:
    return {
        "id": ACCOUNT,
        "object": "account",
        "business_profile": {"name": "Simulated account"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": catalogue.CURRENCY,
        "payouts_enabled": True,
        "type": "standard",
    }


def _event(books: Books, asked: Parameters, event_id: str) -> Object:
    row = books.connection.execute(tables.event_by_id, {"id": event_id}).one_or_none()
    if row is None:
        raise missing("event", event_id)
    found: Object = orjson.loads(row.body)
    return found


def _events(books: Books, asked: Parameters) -> Object:
    limit = min(MAX_PAGE, max(1, asked.number("limit", PAGE)))
    rows = books.connection.execute(tables.event_bodies, {"limit": limit})
    return listing([orjson.loads(row.body) for row in rows.all()], "/v1/events")


def _configurations(books: Books, asked: Parameters) -> Object:
    update = {"enabled": True, "default_allowed_updates": ["price"], "proration_behavior": "always_invoice"}
    configuration = {
        "id": CONFIGURATION,
        "object": "billing_portal.configuration",
        "active": True,
        "features": {"subscription_update": update},
        "is_default": True,
        "livemode": False,
    }
    return listing([configuration], "/v1/billing_portal/configurations")


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "account"): _account,
    ("GET", "billing_portal/configurations"): _configurations,
    ("POST", "billing_portal/sessions"): portal_sessions.open_portal,
    ("POST", "checkout/sessions"): checkout.open_session,
    ("POST", "checkout/sessions/{}/expire"): checkout.expire_session,
    ("GET", "checkout/sessions/{}/line_items"): _lines,
    ("POST", "customers"): catalogue.create_customer,
    ("POST", "customers/{}"): catalogue.update_customer,
    ("DELETE", "customers/{}"): catalogue.delete_customer,
    ("GET", "customers/{}/payment_methods"): _methods_of,
    ("POST", "disputes/{}/close"): charging.close_dispute,
    ("GET", "events"): _events,
    ("GET", "events/{}"): _event,
    ("POST", "invoices/create_preview"): preview,
    ("POST", "invoices/{}/pay"): _pay_invoice,
    ("POST", "invoices/{}/void"): invoices.void_invoice,
    ("POST", "payment_methods/{}/attach"): catalogue.attach,
    ("POST", "payment_methods/{}/detach"): catalogue.detach,
    ("POST", "prices"): catalogue.create_price,
    ("POST", "products"): catalogue.create_product,
    ("POST", "refunds"): charging.create_refund,
    ("POST", "subscriptions"): subscriptions.create_subscription,
    ("POST", "subscriptions/{}"): subscriptions.update_subscription,
    ("DELETE", "subscriptions/{}"): subscriptions.cancel_subscription,
    ("POST", "subscriptions/{}/pause"): subscriptions.pause_subscription,
    ("POST", "subscriptions/{}/resume"): subscriptions.resume_subscription,
    **{("GET", place): partial(page, kind=kind) for kind, place in PLACES.items()},
    **{("GET", f"{place}/{{}}"): partial(retrieve, kind=kind) for kind, place in PLACES.items()},
}
_PATTERNS = [
    (method, re.compile(pattern.replace("{}", r"([\w.-]{1,255})")), operation)
    for (method, pattern), operation in OPERATIONS.items()
]


def carry_out(books: Books, method: str, path: str, asked: Parameters) -> Object:
    """The answer to a request below ``/v1/``; raises Refusal."""
    for its_method, pattern, operation in _PATTERNS:
        if its_method == method and (match := pattern.fullmatch(path)):
            answer = operation(books, asked, *match.groups())
            return expanded(books, answer, asked.texts("expand"))
    raise Refusal(f"Unrecognized request URL ({method}: /v1/{path}).", status=404)


def expanded(books: Books, answer: Object, paths: list[str]) -> Object:
    """The answer with objects in place of their ids, where that was asked for; what is kept stays as it is."""
    for path in paths:
        if path.startswith("data.") and "data" in answer:
            name = path.removeprefix("data.")
            answer = {**answer, "data": [_expanded(books, each, name) for each in answer["data"]]}
        else:
            answer = _expanded(books, answer, path)
    return answer


def _expanded(books: Books, found: Object, name: str) -> Object:
    value: Any = found.get(name)
    if (found["object"], name) == ("invoice", "payments"):
        value = invoices.payments_of(books, found)
    elif (found["object"], name) == ("checkout.session", "line_items"):
        value = checkout.lines_of(books, found)
    elif isinstance(value, str) and (kind := books.kind_of(value)) is not None:
        value = books.get(kind, value)
    return {**found, name: value}
