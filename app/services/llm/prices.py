"""Prices of models: an operator's own price comes before that of the public list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field

from app.context import Context
from app.contract.camel import CAMEL
from app.database.connections import WriteConnection
from app.events import Event, EventType, record
from app.money import Nanos
from app.services.llm.model_price import ModelPrice, Source
from app.services.llm.named_models import MAX_NAMED, NamedModel, named_models
from app.services.llm.price_list import list_price, search_price_list
from app.services.llm.price_lookup import OwnPrice
from app.services.llm.setting_values import Provider
from sql.patterns import contains_as_it_is
from sql.statements import model_prices as statements

MAX_PRICE_USD = 1_000_000
# How many of the operators' own prices are listed, and how many matches of a search.
MAX_OWN = 1000
MAX_FOUND = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPrice:
    """A model and its price, which is shown in USD for a million tokens; without one it is ``missing``."""

    __pydantic_config__ = CAMEL
    provider: Provider
    model: str
    input_price: Nanos | None
    cached_input_price: Annotated[Nanos | None, Field(description="Null: it costs as much as any other input.")]
    output_price: Nanos | None
    source: Annotated[Source | None, Field(description="own: an operator has set it; list: the public price list.")]
    missing: bool
    updated_at: datetime | None
    updated_by: str | None


class PriceList(NamedTuple):
    """Prices by provider and model; if it is capped, there are more."""

    prices: list[ListedPrice]
    is_capped: bool


async def list_prices(ctx: Context) -> PriceList:
    """The operators' own prices, and those of all models that the current settings name, with or without a price."""
    async with ctx.read() as conn:
        own = await conn.many(statements.own_prices, OwnPrice, size=MAX_OWN + 1)
        named = await named_models(conn)
    prices = {(price.provider, price.model): _listed(price) for price in own[:MAX_OWN]}
    for model in named:
        key = (model.provider, model.model)
        prices[key] = await _public(ctx, *key) if model.input_price is None else _listed(model)
    is_capped = len(own) > MAX_OWN or len(named) > MAX_NAMED
    return PriceList([prices[key] for key in sorted(prices)], is_capped)


async def search_prices(ctx: Context, text: str) -> PriceList:
    """The prices of models whose name contains a text: operators' own ones and those of the list."""
    async with ctx.read() as conn:
        own = await conn.many(
            statements.own_prices_matching, OwnPrice, pattern=contains_as_it_is(text.strip()), size=MAX_FOUND + 1
        )
    prices = {(price.provider, price.model): _listed(price) for price in own}
    for price in await search_price_list(text.strip(), ctx.now()):
        prices.setdefault((price.provider, price.model), _of_list(price))
    found = [prices[key] for key in sorted(prices)]
    return PriceList(found[:MAX_FOUND], len(found) > MAX_FOUND)


async def set_price(ctx: Context, provider: Provider, model: str, figures: Mapping[str, int | None]) -> ListedPrice:
    """Give a model a price of the operator's own: ``input_price``, ``output_price`` and perhaps ``cached_input_price``.

    Prices are in 1e-9 USD for a million tokens. Without a price of cached input the stored one stays; where there is
    none, cached input costs as much as any other. A price that is the same changes nothing.
    """
    now = ctx.now()
    changed = {"updated_at": now, "updated_by": ctx.actor.name}
    async with ctx.write() as conn:
        new = {"cached_input_price": None, **figures}
        row = {"provider": provider, "model": model, **new, **changed}
        old = None
        while not await conn.affected(statements.insert_own_price, **row):
            # Where another transaction removes it meanwhile, it is not there, and is inserted.
            old = await conn.maybe(statements.own_price_locked, OwnPrice, provider=provider, model=model)
            if old is not None:
                break
        if old is not None:
            new = {**old.figures, **figures}
            if new == old.figures:
                return _listed(old)
            await conn.affected(statements.set_own_price, of_provider=provider, of_model=model, **new, **changed)
        await _record(conn, ctx, provider, model, None if old is None else old.figures, new)
        stored = await conn.one(statements.own_price, OwnPrice, provider=provider, model=model)
    return _listed(stored)


async def remove_price(ctx: Context, provider: Provider, model: str) -> ListedPrice:
    """Put a model back to the price of the list, and return that; what has no price of its own stays as it is."""
    async with ctx.write() as conn:
        old = await conn.maybe(statements.delete_own_price, OwnPrice, of_provider=provider, of_model=model)
        if old is not None:
            await _record(conn, ctx, provider, model, old.figures, None)
    return await _public(ctx, provider, model)


async def _record(
    conn: WriteConnection,
    ctx: Context,
    provider: Provider,
    model: str,
    old: Mapping[str, int | None] | None,
    new: Mapping[str, int | None] | None,
) -> None:
    title = f"Price of {provider} {model} {'removed' if new is None else 'set'}"
    metadata = {"provider": provider, "model": model, "old": old, "new": new}
    await record(conn, ctx, Event(EventType.CONFIG_UPDATED, title, metadata=metadata))


def _listed(price: OwnPrice | NamedModel) -> ListedPrice:
    return ListedPrice(
        provider=price.provider,
        model=price.model,
        input_price=price.input_price,
        cached_input_price=price.cached_input_price,
        output_price=price.output_price,
        source="own",
        missing=False,
        updated_at=price.updated_at,
        updated_by=price.updated_by,
    )


async def _public(ctx: Context, provider: Provider, model: str) -> ListedPrice:
    price = await list_price(provider, model, ctx.now())
    return _of_list(price) if price is not None else _missing(provider, model)


def _of_list(price: ModelPrice) -> ListedPrice:
    return ListedPrice(
        provider=price.provider,
        model=price.model,
        input_price=price.base.input_price,
        cached_input_price=price.base.cached_input_price,
        output_price=price.base.output_price,
        source="list",
        missing=False,
        updated_at=None,
        updated_by=None,
    )


def _missing(provider: Provider, model: str) -> ListedPrice:
    return ListedPrice(
        provider=provider,
        model=model,
        input_price=None,
        cached_input_price=None,
        output_price=None,
        source=None,
        missing=True,
        updated_at=None,
        updated_by=None,
    )
