"""The simulator at a glance: its moment, subscriptions, charges and events; time, refunds and disputes by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanic import Request
from sanic.response import HTTPResponse

from app.context import Context
from app.numerals import read_numeral
from app.providers.stripe_simulator import charging, tables
from app.providers.stripe_simulator import subscription_changes as subscriptions
from app.providers.stripe_simulator.books import Books
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.simulator import PATH
from app.services.billing.simulator import MAX_DAYS, advance_simulator
from blueprints.stripe_simulator import pages
from blueprints.stripe_simulator.present import done, item_of, moment, money, shown, simulator_of
from blueprints.web.pages import View, see_other

MAX_SHOWN = 50


@pages.page("GET", PATH, template="overview.html")
async def simulator_page(request: Request, ctx: Context) -> View:
    """What the simulator holds, newest first."""
    return View(await shown(request, _overview))


@pages.page("POST", PATH)
async def act_in_simulator(request: Request, ctx: Context, form: Mapping[str, str]) -> HTTPResponse:
    """Let days pass, give money back, dispute a charge, or let a subscription rest and go on."""
    simulator_of(request)
    chosen, nothing = form.get("id", ""), Parameters({})
    match form.get("action"):
        case "advance":
            await advance_simulator(ctx, _days(form))
        case "refund":
            await done(request, lambda books: charging.create_refund(books, Parameters({"charge": chosen})))
        case "dispute":
            await done(request, lambda books: charging.dispute(books, books.get("charge", chosen)))
        case "pause":
            await done(request, lambda books: subscriptions.pause_subscription(books, nothing, chosen))
        case "resume":
            await done(request, lambda books: subscriptions.resume_subscription(books, nothing, chosen))
        case "cancel":
            await done(request, lambda books: subscriptions.cancel_subscription(books, nothing, chosen))
        case _:
            pass
    return see_other(PATH)


def _days(form: Mapping[str, str]) -> int:
    try:
        return min(MAX_DAYS, max(1, read_numeral(form.get("days", ""))))
    except ValueError:
        return 1


def _overview(books: Books) -> dict[str, Any]:
    events = books.connection.execute(tables.newest_events, {"limit": MAX_SHOWN}).all()
    return {
        "path": PATH,
        "now": moment(books.now),
        "max_days": MAX_DAYS,
        "subscriptions": [
            {**item_of(books, each), "customer": books.get("customer", each["customer"]).get("name") or "deleted"}
            for each in books.listed("subscription")[:MAX_SHOWN]
        ],
        "charges": [
            {
                "id": charge["id"],
                "description": charge["description"] or charge["id"],
                "amount": money(charge["amount"], charge["currency"]),
                "status": _status(charge),
                "may_refund": charge["paid"] and not charge["refunded"],
                "may_dispute": charge["paid"] and not charge["disputed"],
            }
            for charge in books.listed("charge")[:MAX_SHOWN]
        ],
        "events": [
            {"type": row.type, "at": moment(row.created), "attempts": row.attempts, "status": row.status, "id": row.id}
            for row in events
        ],
    }


def _status(charge: Mapping[str, Any]) -> str:
    if charge["disputed"]:
        return "disputed"
    return "refunded" if charge["refunded"] else str(charge["status"])
