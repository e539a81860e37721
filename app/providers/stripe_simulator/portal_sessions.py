"""Sessions of the billing portal, where a customer changes cards, confirms a change of plan, cancels and resumes."""

from __future__ import annotations

from app.providers.stripe_simulator.books import Books, Object, new_id
from app.providers.stripe_simulator.cards import Card
from app.providers.stripe_simulator.catalogue import attach_card, forget_default, living_customer
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.proration import proration_lines, will_change
from app.providers.stripe_simulator.refusals import Refusal, wrong
from app.providers.stripe_simulator.subscription_changes import update_subscription
from app.providers.stripe_simulator.subscriptions import ENDED, living, settle

FLOWS = frozenset({"subscription_update_confirm", "subscription_cancel", "payment_method_update"})
# A session is good for so long after it was made.
OPEN_SECONDS = 3600
CONFIGURATION = "bpc_simulated"


def open_portal(books: Books, asked: Parameters) -> Object:
    """A new session, with the address of its page."""
    customer = living_customer(books, asked.needed("customer"))
    return_url = asked.address("return_url")
    flow = _flow(books, asked.nested("flow_data"), return_url) if "flow_data" in asked else None
    session_id = new_id("bps")
    return books.add(
        "billing_portal.session",
        {
            "id": session_id,
            "object": "billing_portal.session",
            "configuration": CONFIGURATION,
            "created": books.now,
            "customer": customer["id"],
            "flow": flow,
            "livemode": False,
            "locale": None,
            "on_behalf_of": None,
            "return_url": return_url,
            "url": f"{books.url}/portal/{session_id}",
        },
        is_done=False,
    )


def _flow(books: Books, asked: Parameters, return_url: str | None) -> Object:
    kind = asked.needed("type")
    if kind not in FLOWS:
        raise wrong("flow_data[type]", f"The simulator has the flows {', '.join(sorted(FLOWS))}.")
    chosen = asked.nested("after_completion")
    redirect = chosen.nested("redirect").address("return_url") or return_url
    flow: Object = {
        "after_completion": {
            "hosted_confirmation": None,
            "redirect": {"return_url": redirect} if redirect else None,
            "type": "redirect" if redirect else "portal_homepage",
        },
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
    if kind == "subscription_cancel":
        details = asked.nested("subscription_cancel")
        flow[kind] = {"retention": None, "subscription": living(books, details.needed("subscription"))["id"]}
    if kind == "subscription_update_confirm":
        details = asked.nested(kind)
        subscription = living(books, details.needed("subscription"))
        new = will_change(books, subscription, details)
        item = {"id": subscription["items"]["data"][0]["id"], "price": new.price["id"], "quantity": new.quantity}
        flow[kind] = {"discounts": None, "items": [item], "subscription": subscription["id"]}
    return flow


def current(books: Books, session_id: str) -> Object:
    """A session that is still open; raises Refusal for any other."""
    session = books.get("billing_portal.session", session_id)
    if books.now > session["created"] + OPEN_SECONDS:
        raise Refusal("This session has expired.")
    return session


def subscriptions_of(books: Books, session: Object) -> list[Object]:
    """The living subscriptions of a session's customer."""
    return [each for each in books.listed("subscription", session["customer"]) if each["status"] not in ENDED]


def change_shown(books: Books, session: Object) -> tuple[Object, Object, list[Object]]:
    """The subscription that a session changes, the new price, and what it costs at once, line by line."""
    subscription, asked = _change_of(books, session)
    new = will_change(books, subscription, asked)
    lines = proration_lines(books, subscription, new)
    return subscription, new.price, [{"description": line.description, "amount": line.amount} for line in lines]


def confirm_change(books: Books, session_id: str) -> Object:
    """Change the subscription as the session shows; a session does it once."""
    session = current(books, session_id)
    if books.notes(session)["is_done"]:
        return session
    subscription, asked = _change_of(books, session)
    wanted = Parameters({"items": dict(asked.nested("items")), "proration_behavior": "always_invoice"})
    update_subscription(books, wanted, subscription["id"])
    books.notes(session)["is_done"] = True
    books.save(session)
    return session


def _change_of(books: Books, session: Object) -> tuple[Object, Parameters]:
    flow = session["flow"] or {}
    if (change := flow.get("subscription_update_confirm")) is None:
        raise Refusal("This session changes no subscription.")
    entry = {name: str(value) for name, value in change["items"][0].items()}
    return living(books, change["subscription"]), Parameters({"items": {"0": entry}})


def set_end(books: Books, session_id: str, subscription_id: str, *, is_to_end: bool) -> Object:
    """End a subscription of the session's customer with its period, or let it go on."""
    session = current(books, session_id)
    if living(books, subscription_id)["customer"] != session["customer"]:
        raise Refusal("This subscription is somebody else's.")
    wanted = Parameters({"cancel_at_period_end": "true" if is_to_end else "false"})
    update_subscription(books, wanted, subscription_id)
    return session


def use_card(books: Books, session_id: str, card: Card) -> Object:
    """Let all that the session's customer pays be paid by another card, which takes the place of the others."""
    session = current(books, session_id)
    customer = living_customer(books, session["customer"])
    former = [method for method in books.listed("payment_method", customer["id"]) if method["customer"] is not None]
    method = attach_card(books, customer, card)
    settings = {**customer["invoice_settings"], "default_payment_method": method["id"]}
    books.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in subscriptions_of(books, session):
        books.change(subscription, "customer.subscription.updated", default_payment_method=method["id"])
    for old in former:
        forget_default(books, customer, old["id"])
        books.change(old, None, customer=None)
        books.tell("payment_method.detached", old, {"customer": customer["id"]})
    return session


def pay_invoice(books: Books, invoice_id: str, card: Card | None = None) -> str | None:
    """Pay an open invoice, with another card or with what there is; answers why not, or None where it is paid."""
    invoice = books.get("invoice", invoice_id)
    if invoice["status"] != "open":
        raise Refusal(f"This invoice is {invoice['status']}.")
    subscription = books.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    if card is not None:
        method = attach_card(books, living_customer(books, invoice["customer"]), card)
        books.change(subscription, "customer.subscription.updated", default_payment_method=method["id"])
    return settle(books, subscription, invoice, off_session=False)
