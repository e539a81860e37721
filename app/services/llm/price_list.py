"""The public price list of models: a snapshot that comes with the library genai-prices, which asks no network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import TYPE_CHECKING

from app.services.llm.model_price import ModelPrice, Rate
from app.services.llm.setting_values import Provider

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice as PublicPrice
    from genai_prices.types import TieredPrices

# The names by which the list knows the providers.
NAMES: dict[Provider, str] = {"gemini": "google", "openai": "openai", "anthropic": "anthropic"}
NANO = 9


async def list_price(provider: Provider, model: str, at: datetime) -> ModelPrice | None:
    """The price in the list at a moment; None where it has none for a model's tokens."""
    try:
        _, found = (await _snapshot()).find_provider_model(model, None, NAMES[provider], None)
    except LookupError:
        return None
    return _price(provider, model, found.get_prices(at))


async def search_price_list(text: str, at: datetime) -> Iterator[ModelPrice]:
    """The prices of the models whose name in the list contains a text, by provider and name."""
    snapshot, wanted = await _snapshot(), text.lower()
    names = {name: provider for provider, name in NAMES.items()}
    found = sorted(
        (names[provider.id], model.id, model)
        for provider in snapshot.providers
        if provider.id in names
        for model in provider.models
        if wanted in model.id.lower()
    )
    priced = (_price(provider, name, model.get_prices(at)) for provider, name, model in found)
    return (price for price in priced if price is not None)


async def _snapshot() -> DataSnapshot:
    """The snapshot, loaded when it is first needed.

    In a thread: it is read from the disk, and takes a seventh of a second and 18 MB, which most processes never need.
    """
    if not _load.cache_info().currsize:
        await asyncio.to_thread(_load)
    return _load()


@cache
def _load() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _price(provider: Provider, model: str, public: PublicPrice) -> ModelPrice | None:
    """The price as rates; None where input tokens have no price, as for models that are paid by the hour."""
    if public.input_mtok is None:
        return None
    # A tier of the list holds for calls of more input tokens than its start.
    starts = {tier.start + 1 for price in vars(public).values() for tier in getattr(price, "tiers", ())}
    rates = tuple(
        Rate(
            start,
            _nanos(public.input_mtok, start) or 0,
            _nanos(public.cache_read_mtok, start),
            _nanos(public.cache_write_mtok, start),
            _nanos(public.output_mtok, start) or 0,
        )
        for start in sorted({0, *starts})
    )
    return ModelPrice(provider, model, "list", rates)


def _nanos(price: Decimal | TieredPrices | None, input_tokens: int) -> int | None:
    """A price of the list for calls of so many input tokens, in 1e-9 USD and rounded up."""
    if price is None:
        return None
    usd, tiers = (price, []) if isinstance(price, Decimal) else (price.base, price.tiers)
    for tier in tiers:
        if input_tokens > tier.start:
            usd = tier.price
    return int(usd.scaleb(NANO).to_integral_value(ROUND_CEILING))
