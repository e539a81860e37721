"""Prices of models: listing them, setting an own one, and going back to the public list."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import CAMEL
from app.money import to_nanos, to_usd
from app.services.llm import prices
from app.services.llm.prices import MAX_FOUND, MAX_PRICE_USD, ListedPrice
from app.services.llm.setting_values import ModelName, ProviderName
from blueprints.llm_management import api
from blueprints.web.fields import NO_NUL, CamelChanges, RequestModel


def _exact(usd: float) -> float:
    return to_usd(to_nanos(Decimal(str(usd))))


UsdPerMillion = Annotated[
    float,
    Field(
        ge=0,
        le=MAX_PRICE_USD,
        allow_inf_nan=False,
        description="USD for a million tokens, with at most nine decimals.",
    ),
    AfterValidator(_exact),
]


class PriceQuery(RequestModel):
    """Which prices."""

    search: Annotated[
        str,
        Field(
            max_length=100,
            pattern=NO_NUL,
            description=f"A part of a model's name: finds up to {MAX_FOUND} own prices and prices of the public list.",
        ),
    ] = ""


class PriceChange(CamelChanges):
    """An own price of a model."""

    provider: ProviderName
    model: ModelName
    input_price: UsdPerMillion
    output_price: UsdPerMillion
    cached_input_price: Annotated[
        UsdPerMillion | None,
        Field(description="Null: cached input costs as much as any other. Absent: what is set stays."),
    ] = None

    @property
    def figures(self) -> dict[str, int | None]:
        """The prices that were sent, in 1e-9 USD."""
        names = {"input_price", "output_price", "cached_input_price"} & self.model_fields_set
        sent = {name: getattr(self, name) for name in names}
        return {name: None if usd is None else to_nanos(Decimal(str(usd))) for name, usd in sent.items()}


class PricedModel(RequestModel):
    """Which model."""

    provider: ProviderName
    model: ModelName


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices by provider and model; if it is capped, there are more, which a search finds."""

    __pydantic_config__ = CAMEL
    prices: list[ListedPrice]
    is_capped: bool


@api.operation("GET", "/prices", caller=operator(Permission.LLM_PRICES_READ), query=PriceQuery, answers=PriceList)
async def model_prices(ctx: Context, query: PriceQuery) -> PriceList:
    """The own prices, and those of all models that the settings name.

    A model that has no price is `missing`: it cannot be used where a budget stands over it. With `search`, all models
    of that name are listed, also those of the public list that nothing uses. Shown is the price of small calls; some
    models cost more in calls with a large input, which is counted.
    """
    found = await (prices.search_prices(ctx, query.search) if query.search.strip() else prices.list_prices(ctx))
    return PriceList(prices=found.prices, is_capped=found.is_capped)


@api.operation("PUT", "/prices", caller=operator(Permission.LLM_PRICES_WRITE), body=PriceChange, answers=ListedPrice)
async def set_model_price(ctx: Context, body: PriceChange) -> ListedPrice:
    """Give a model an own price, which comes before that of the public list. May be repeated."""
    return await prices.set_price(ctx, body.provider, body.model, body.figures)


@api.operation(
    "DELETE", "/prices", caller=operator(Permission.LLM_PRICES_WRITE), query=PricedModel, answers=ListedPrice
)
async def remove_model_price(ctx: Context, query: PricedModel) -> ListedPrice:
    """Put a model back to the price of the public list, which is answered. May be repeated."""
    return await prices.remove_price(ctx, query.provider, query.model)
