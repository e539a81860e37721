"""The page of an invoice, where an open one is paid."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.providers.stripe_simulator import portal_sessions
from app.providers.stripe_simulator.books import Books
from app.providers.stripe_simulator.cards import MESSAGES
from app.providers.stripe_simulator.simulator import PATH
from blueprints.stripe_simulator import pages
from blueprints.stripe_simulator.present import DECLINED, card_named, cards, done, invoice_row, money, shown
from blueprints.web.pages import View, see_other

TEMPLATE = "invoice.html"


@pages.page("GET", f"{PATH}/invoices/{{invoice_id}}", template=TEMPLATE)
async def invoice_page(request: Request, ctx: Context, invoice_id: str) -> View:
    """What was charged, and whether it is paid."""
    return View(await shown(request, partial(_invoice, invoice_id=invoice_id)))


@pages.page("POST", f"{PATH}/invoices/{{invoice_id}}", template=TEMPLATE)
async def pay_invoice_page(
    request: Request, ctx: Context, form: Mapping[str, str], invoice_id: str
) -> View | HTTPResponse:
    """Pay an open invoice; its subscription is paid by this card from then on."""
    card = card_named(form)
    decline = await done(request, lambda books: portal_sessions.pay_invoice(books, invoice_id, card))
    if decline is None:
        return see_other(f"{PATH}/invoices/{invoice_id}")
    values = await shown(request, partial(_invoice, invoice_id=invoice_id))
    return View({**values, "declined": MESSAGES[decline], "chosen": card.number}, DECLINED)


def _invoice(books: Books, invoice_id: str) -> dict[str, object]:
    invoice = books.get("invoice", invoice_id)
    return {
        "path": f"{PATH}/invoices/{invoice_id}",
        "invoice": invoice_row(invoice),
        "lines": [
            {"description": line["description"], "amount": money(line["amount"], invoice["currency"])}
            for line in invoice["lines"]["data"]
        ],
        "cards": cards(),
        "chosen": cards()[0]["number"],
        "declined": "",
    }
