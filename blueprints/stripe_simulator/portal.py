"""The billing portal's page: confirm a change of plan, cancel and resume, another card, the invoices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.providers.stripe_simulator import portal_sessions
from app.providers.stripe_simulator.books import Books, Object
from app.providers.stripe_simulator.refusals import Refusal
from app.providers.stripe_simulator.simulator import PATH
from blueprints.stripe_simulator import pages
from blueprints.stripe_simulator.present import card_named, cards, done, invoice_row, item_of, money, shown
from blueprints.web.pages import View, see_other

MAX_INVOICES = 24


@pages.page("GET", f"{PATH}/portal/{{session_id}}", template="portal.html")
async def portal_page(request: Request, ctx: Context, session_id: str) -> View:
    """The change to be confirmed, or all that a customer may change."""
    return View(await shown(request, partial(_session, session_id=session_id)))


@pages.page("POST", f"{PATH}/portal/{{session_id}}")
async def change_in_portal(request: Request, ctx: Context, form: Mapping[str, str], session_id: str) -> HTTPResponse:
    """Do what a button says, and show the page again, which leads on once a change is confirmed."""
    subscription_id = form.get("subscription", "")
    match form.get("action"):
        case "confirm":
            await done(request, lambda books: portal_sessions.confirm_change(books, session_id))
        case "end" | "go_on" as action:
            end = partial(portal_sessions.set_end, is_to_end=action == "end")
            await done(request, lambda books: end(books, session_id, subscription_id))
        case "card":
            card = card_named(form)
            await done(request, lambda books: portal_sessions.use_card(books, session_id, card))
        case _:
            pass
    return see_other(f"{PATH}/portal/{session_id}")


def _session(books: Books, session_id: str) -> dict[str, object]:
    session = portal_sessions.current(books, session_id)
    customer = books.get("customer", session["customer"])
    default = customer["invoice_settings"]["default_payment_method"]
    methods = [method for method in books.listed("payment_method", customer["id"]) if method["customer"]]
    flow = session["flow"] or {}
    redirect = (flow.get("after_completion") or {}).get("redirect") or {}
    return {
        "path": f"{PATH}/portal/{session_id}",
        "customer": customer["name"] or customer["id"],
        "leads_to": redirect.get("return_url") or session["return_url"] or "",
        "is_done": books.notes(session)["is_done"],
        "change": _change(books, session),
        "subscriptions": [item_of(books, each) for each in portal_sessions.subscriptions_of(books, session)],
        "methods": [
            {"brand": method["card"]["brand"], "last4": method["card"]["last4"], "is_default": method["id"] == default}
            for method in methods
        ],
        "invoices": [invoice_row(invoice) for invoice in books.listed("invoice", customer["id"])[:MAX_INVOICES]],
        "cards": cards(),
        "chosen": cards()[0]["number"],
    }


def _change(books: Books, session: Object) -> dict[str, object] | None:
    """What is to be confirmed; None where there is nothing to confirm, or not any more."""
    if books.notes(session)["is_done"]:
        return None
    try:
        subscription, price, lines = portal_sessions.change_shown(books, session)
    except Refusal:
        return None
    due = max(0, sum(line["amount"] for line in lines) + books.get("customer", session["customer"])["balance"])
    return {
        "from": item_of(books, subscription),
        "to": books.get("product", price["product"])["name"],
        "price": f"{money(price['unit_amount'], price['currency'])} a {price['recurring']['interval']}",
        "lines": [{**line, "amount": money(line["amount"], price["currency"])} for line in lines],
        "due": money(due, price["currency"]),
    }
