"""The price that holds for a model: an operator's own one comes before that of the public list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.context import Context
from app.database.connections import ReadConnection, as_batch
from app.errors import ModelPriceMissingError
from app.services.llm.model_price import ModelPrice, Rate
from app.services.llm.price_list import list_price
from app.services.llm.setting_values import Provider
from sql.statements import model_prices as statements


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """An operator's own price, in 1e-9 USD for a million tokens."""

    provider: Provider
    model: str
    input_price: int
    cached_input_price: int | None
    output_price: int
    updated_at: datetime
    updated_by: str

    @property
    def figures(self) -> dict[str, int | None]:
        """The prices by the names of their columns."""
        return {
            "input_price": self.input_price,
            "cached_input_price": self.cached_input_price,
            "output_price": self.output_price,
        }

    @property
    def rate(self) -> Rate:
        """The prices as the one rate of all calls."""
        return Rate(0, self.input_price, self.cached_input_price, None, self.output_price)


async def price_of(conn: ReadConnection, ctx: Context, provider: Provider, model: str) -> ModelPrice | None:
    """The price of a model now: the operator's own one, or else that of the list; None if there is neither."""
    return (await prices_of(conn, ctx, {provider: model})).get(provider)


async def prices_of(conn: ReadConnection, ctx: Context, models: Mapping[Provider, str]) -> dict[Provider, ModelPrice]:
    """As ``price_of``, of a model of each provider with one statement, in order; one without a price is left out."""
    batch = as_batch([{"provider": provider, "model": model} for provider, model in models.items()])
    own = await conn.many(statements.own_prices_of, OwnPrice, batch=batch)
    return await prices_beside(ctx, models, {(price.provider, price.model): price.rate for price in own})


async def prices_beside(
    ctx: Context, models: Mapping[Provider, str], own_rates: Mapping[tuple[Provider, str], Rate]
) -> dict[Provider, ModelPrice]:
    """As ``prices_of``, where the operators' own prices were read before."""
    found = {}
    for provider, model in models.items():
        rate = own_rates.get((provider, model))
        own = None if rate is None else ModelPrice(provider, model, "own", (rate,))
        if (price := own or await list_price(provider, model, ctx.now())) is not None:
            found[provider] = price
    return found


async def require_price(conn: ReadConnection, ctx: Context, provider: Provider, model: str) -> ModelPrice:
    """The price of a model now; raises ModelPriceMissingError."""
    if (price := await price_of(conn, ctx, provider, model)) is None:
        raise ModelPriceMissingError(provider=provider, model=model)
    return price
