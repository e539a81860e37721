"""Prices of models, from the command line."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter
from pydantic import TypeAdapter
from pydantic import ValidationError as InvalidValueError

from app.commands.output import answer, escape, table
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.errors import ValidationError
from app.money import to_nanos, to_usd
from app.services.llm import prices as use_cases
from app.services.llm.prices import MAX_PRICE_USD, ListedPrice
from app.services.llm.setting_values import ModelName, Provider

ProviderArgument = Annotated[Provider, Parameter(help="gemini, openai or anthropic.")]
ModelArgument = Annotated[str, Parameter(help="The model, as its provider names it.")]


async def prices(
    *,
    search: Annotated[str, Parameter(help="A part of a model's name: looks through the public list, too.")] = "",
    as_json: AsJson = False,
) -> None:
    """List own prices and those of the models that settings name, in USD for a million tokens."""
    async with operating() as ctx:
        found = await (use_cases.search_prices(ctx, search) if search.strip() else use_cases.list_prices(ctx))
    columns = ("provider", "model", "input", "cached input", "output", "from")
    rows = [
        (
            price.provider,
            price.model,
            _usd(price.input_price),
            _usd(price.cached_input_price),
            _usd(price.output_price),
            "no price" if price.source is None else price.source,
        )
        for price in found.prices
    ]
    lines = [table(columns, rows) if rows else "No model has such a name.", *_remedies(found.prices)]
    if found.is_capped:
        lines.append("There are more: narrow the search." if search.strip() else "There are more: --search finds them.")
    result = {"prices": [_as_json(price) for price in found.prices], "is_capped": found.is_capped}
    answer(as_json, result, *lines)


async def set_price(
    provider: ProviderArgument,
    model: ModelArgument,
    /,
    *,
    input_price: Annotated[str, Parameter(name="--input", help="USD for a million tokens of input.")],
    output_price: Annotated[str, Parameter(name="--output", help="USD for a million tokens of output.")],
    cached_input_price: Annotated[
        str | None,
        Parameter(
            name="--cached-input", help="The same of input that the provider has cached; as any other if absent."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a model a price of your own, which comes before that of the public list."""
    figures = {
        "input_price": _nanos("input", input_price),
        "output_price": _nanos("output", output_price),
        "cached_input_price": None if cached_input_price is None else _nanos("cached_input", cached_input_price),
    }
    name = _named(model)
    async with operating() as ctx:
        price = await use_cases.set_price(ctx, provider, name, figures)
    answer(as_json, _as_json(price), _line(price))


async def remove_price(provider: ProviderArgument, model: ModelArgument, /, *, as_json: AsJson = False) -> None:
    """Put a model back to the price of the public list; may be repeated."""
    name = _named(model)
    async with operating() as ctx:
        price = await use_cases.remove_price(ctx, provider, name)
    answer(as_json, _as_json(price), _line(price))


def _named(model: str) -> str:
    try:
        return TypeAdapter[str](ModelName).validate_python(model)
    except InvalidValueError:
        raise ValidationError.of("model", "must be 1 to 100 printable ASCII characters", kind="value_error") from None


def _nanos(option: str, text: str) -> int:
    try:
        usd = Decimal(text)
        if usd <= MAX_PRICE_USD:
            return to_nanos(usd)
    except (ArithmeticError, ValueError):
        # What is no number, or not a number that the bounds below have.
        pass
    message = f"must be from 0 to {MAX_PRICE_USD} USD, with at most nine decimals"
    raise ValidationError.of(option, message, kind="out_of_range")


def _line(price: ListedPrice) -> str:
    name = f"{price.provider} {escape(price.model)}"
    if price.missing:
        return f"{name} has no price."
    origin = "your own price" if price.source == "own" else "the public list"
    return f"{name}: {_usd(price.input_price)} in, {_usd(price.output_price)} out, by {origin}."


def _remedies(listed: list[ListedPrice]) -> list[str]:
    return [
        f"To give it a price: portal llm set-price {price.provider} {escape(price.model)} --input USD --output USD"
        for price in listed
        if price.missing
    ]


def _usd(nanos: int | None) -> str | None:
    return None if nanos is None else f"{Decimal(nanos).scaleb(-9).normalize():f}"


def _as_json(price: ListedPrice) -> dict[str, str | float | bool | datetime | None]:
    return {
        "provider": price.provider,
        "model": price.model,
        "input_price": None if price.input_price is None else to_usd(price.input_price),
        "cached_input_price": None if price.cached_input_price is None else to_usd(price.cached_input_price),
        "output_price": None if price.output_price is None else to_usd(price.output_price),
        "source": price.source,
        "missing": price.missing,
        "updated_at": price.updated_at,
        "updated_by": price.updated_by,
    }
