"""Buying activation codes: from the one price table, made once Stripe says that they are paid, and shown once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from app.context import Context
from app.errors import CodesGoneError, PurchaseNotFoundError, PurchaseUnpaidError
from app.services.billing.pages import return_url
from app.services.payments.checkouts import Answered, Draft, Opened, open_once
from app.services.payments.paid_codes import SEALED_FOR
from app.services.payments.payer import Payer, customer_of, gateway_of, own_payer, ready_gateway
from app.settings.kinds import CodePrice
from sql.statements import checkouts as statements

PAID = frozenset({"paid", "refunded"})


class Purchase(NamedTuple):
    """A purchase of codes; amounts in minor units, ``has_codes`` while they can be shown."""

    id: int
    state: str
    quantity: int
    label: str | None
    amount: int
    amount_refunded: int
    currency: str
    codes_taken_back: int
    codes_kept: int
    created_at: datetime
    completed_at: datetime | None
    codes_shown_at: datetime | None
    has_codes: bool


class PurchasePage(NamedTuple):
    """Some purchases, newest first; the next page goes on below ``before``, None at the end."""

    purchases: list[Purchase]
    before: int | None


class _Sealed(NamedTuple):
    id: int
    state: str
    quantity: int
    sealed_codes: bytes | None


def cost_of(prices: Sequence[CodePrice], quantity: int) -> int:
    """What so many codes cost together, in minor units: each costs what the highest tier says that they reach."""
    return quantity * max(price for price in prices if price.quantity <= quantity).unit_amount


async def start_purchase(ctx: Context, quantity: int, label: str | None = None) -> Opened:
    """A session in which the tenant pays for so many codes; the same for a click that is repeated soon.

    Raises as ``open_once``.
    """
    await ready_gateway(ctx)
    payer, settings = await own_payer(ctx), ctx.runtime.settings
    draft = Draft(
        kind="codes",
        quantity=quantity,
        label=label,
        amount=cost_of(settings.code_prices, quantity),
        currency=settings.billing_currency,
    )

    async def ask(checkout_id: int) -> Answered:
        return await _ask(ctx, payer, draft, checkout_id)

    return await open_once(ctx, draft, ask)


async def own_purchases(ctx: Context, *, before: int | None, page_size: int) -> PurchasePage:
    """A page of the tenant's purchases of codes, paid or not."""
    statement = statements.purchases("first" if before is None else "next")
    place = {} if before is None else {"before": before}
    async with ctx.read() as conn:
        found = await conn.many(statement, Purchase, tenant_id=ctx.tenant_id, **place, page_size=page_size)
    return PurchasePage(found, found[-1].id if len(found) == page_size else None)


async def show_codes(ctx: Context, purchase_id: int) -> list[str]:
    """The codes of a purchase in clear, for the only time: from this commit on nobody can read them here.

    Raises PurchaseNotFoundError, PurchaseUnpaidError, CodesGoneError.
    """
    key = {"of_tenant_id": ctx.tenant_id, "of_id": purchase_id}
    async with ctx.write() as conn:
        found = await conn.maybe(statements.purchase_locked, _Sealed, tenant_id=ctx.tenant_id, purchase_id=purchase_id)
        if found is None:
            raise PurchaseNotFoundError(purchase_id=purchase_id)
        if found.state not in PAID:
            raise PurchaseUnpaidError(purchase_id=purchase_id, state=found.state)
        if found.sealed_codes is None or not await conn.affected(statements.take_codes, **key, now=ctx.now()):
            raise CodesGoneError(purchase_id=purchase_id)
        codes: list[str] = orjson.loads(ctx.runtime.keys.open(found.sealed_codes, SEALED_FOR))
    return codes


async def _ask(ctx: Context, payer: Payer, draft: Draft, checkout_id: int) -> Answered:
    settings, quantity = ctx.runtime.settings, draft.quantity or 0
    metadata = {
        "type": "activation_codes",
        "tenant_id": str(payer.tenant_id),
        "quantity": str(quantity),
        "checkout_id": str(checkout_id),
    }
    session = await gateway_of(ctx).open_purchase(
        customer_id=await customer_of(ctx, payer),
        amount=draft.amount or 0,
        currency=draft.currency or settings.billing_currency,
        description=f"{quantity} activation code{'s' if quantity > 1 else ''}",
        metadata={**metadata, "label": draft.label} if draft.label else metadata,
        success_url=return_url(settings, f"success=true&codes={quantity}"),
        cancel_url=return_url(settings, "canceled=true"),
        key=f"checkout:{checkout_id}",
    )
    return Answered("codes", session)
