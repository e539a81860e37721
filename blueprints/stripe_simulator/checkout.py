"""The page of a checkout session: pay, be declined, go back without paying, or let it expire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.providers.stripe_simulator import checkout
from app.providers.stripe_simulator.books import Books
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.simulator import PATH
from blueprints.stripe_simulator import pages
from blueprints.stripe_simulator.present import DECLINED, card_named, cards, done, money, shown
from blueprints.web.pages import View, see_other

TEMPLATE = "checkout.html"


@pages.page("GET", f"{PATH}/checkout/{{session_id}}", template=TEMPLATE)
async def checkout_page(request: Request, ctx: Context, session_id: str) -> View:
    """What is to be paid, and with which cards; once it is paid the page leads on."""
    return View(await shown(request, partial(_session, session_id=session_id)))


@pages.page("POST", f"{PATH}/checkout/{{session_id}}", template=TEMPLATE)
async def pay_checkout(request: Request, ctx: Context, form: Mapping[str, str], session_id: str) -> View | HTTPResponse:
    """Pay, or let the session expire; a card that is declined may be followed by another one."""
    action = form.get("action")
    declined: str | None = None
    if action == "expire":
        await done(request, lambda books: checkout.expire_session(books, Parameters({}), session_id))
    elif action in {"debit", "debit_fails"}:
        fails = action == "debit_fails"
        await done(request, lambda books: checkout.debit_session(books, session_id, will_fail=fails))
    else:
        card = card_named(form)
        declined = await done(request, lambda books: checkout.pay_session(books, session_id, card))
    if declined is None:
        return see_other(f"{PATH}/checkout/{session_id}")
    values = await shown(request, partial(_session, session_id=session_id))
    return View({**values, "declined": declined, "chosen": form.get("card", "")}, DECLINED)


def _session(books: Books, session_id: str) -> dict[str, object]:
    session = books.get("checkout.session", session_id)
    lines = checkout.lines_of(books, session)["data"]
    is_complete = session["status"] == "complete"
    leads_to = session["success_url"] if is_complete else session["cancel_url"]
    return {
        "path": f"{PATH}/checkout/{session_id}",
        "status": session["status"],
        "is_paid": session["payment_status"] != "unpaid",
        "mode": session["mode"],
        "total": money(session["amount_total"], session["currency"]),
        "lines": [
            {"description": line["description"], "amount": money(line["amount_total"], line["currency"])}
            for line in lines
        ],
        "takes_debit": checkout.DEBIT in session["payment_method_types"],
        "leads_to": (leads_to or "").replace("{CHECKOUT_SESSION_ID}", session_id),
        "cards": cards(),
        "chosen": cards()[0]["number"],
        "declined": "",
    }
