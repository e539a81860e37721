"""What the simulator's pages share: who may see them, how they say amounts and moments, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from sanic import Request

from app.errors import NotFoundError
from app.providers.stripe_simulator.books import Books, Object
from app.providers.stripe_simulator.cards import CARDS, Card
from app.providers.stripe_simulator.refusals import Refusal
from app.providers.stripe_simulator.simulator import StripeSimulator
from app.runtime import Runtime
from blueprints.web.this_machine import is_at_this_machine

DECLINED = 402
Result = TypeVar("Result")


def simulator_of(request: Request) -> StripeSimulator:
    """The simulator, for whoever sits at this machine; raises NotFoundError for anybody else."""
    runtime: Runtime = request.app.ctx.runtime
    if runtime.simulator is None or not is_at_this_machine(request):
        raise NotFoundError
    return runtime.simulator


async def shown(request: Request, work: Callable[[Books], Result]) -> Result:
    """What a page shows; raises NotFoundError for what there is not."""
    try:
        return await simulator_of(request).run(work)
    except Refusal:
        raise NotFoundError from None


async def done(request: Request, work: Callable[[Books], Result]) -> Result | None:
    """What a form has done; None where that is not possible any more, which the page then shows."""
    try:
        return await simulator_of(request).run(work)
    except Refusal as refusal:
        if refusal.status == NotFoundError.status:
            raise NotFoundError from None
        return None


def card_named(form: Mapping[str, str]) -> Card:
    """The card that a form has chosen; the one that pays where it has chosen none."""
    return CARDS.get(form.get("card", ""), next(iter(CARDS.values())))


def cards() -> list[dict[str, str]]:
    """The cards as pages offer them."""
    return [
        {
            "number": card.number,
            "shown": " ".join(card.number[at : at + 4] for at in range(0, 16, 4)),
            "does": card.name,
        }
        for card in CARDS.values()
    ]


def money(amount: int, currency: str) -> str:
    """An amount in minor units as people read it: 99.00 USD, -4.50 USD."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02} {currency.upper()}"


def moment(seconds: int) -> datetime:
    """A moment by the simulator's clock."""
    return datetime.fromtimestamp(seconds, UTC)


def item_of(books: Books, subscription: Object) -> dict[str, Any]:
    """What a page says of a subscription."""
    item = subscription["items"]["data"][0]
    price = item["price"]
    costs = money(price["unit_amount"] * item["quantity"], price["currency"])
    return {
        "id": subscription["id"],
        "name": books.get("product", price["product"])["name"],
        "status": subscription["status"],
        "price": f"{costs} a {price['recurring']['interval']}",
        "ends": moment(item["current_period_end"]),
        "is_to_end": subscription["cancel_at_period_end"],
    }


def invoice_row(invoice: Object) -> dict[str, Any]:
    """What a page says of an invoice."""
    return {
        "id": invoice["id"],
        "number": invoice["number"] or "draft",
        "status": invoice["status"],
        "total": money(invoice["total"], invoice["currency"]),
        "due": money(invoice["amount_remaining"], invoice["currency"]),
        "created": moment(invoice["created"]),
    }
