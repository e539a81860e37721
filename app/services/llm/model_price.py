"""What a model's tokens cost: exact, in whole 1e-9 USD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.services.llm.setting_values import Provider

Source = Literal["own", "list"]

# Prices are for so many tokens.
PRICED_TOKENS = 1_000_000
# No call counts as more, whatever its price: a million USD. Thousands at once stay within what the ledger can add.
MAX_COST = 10**15


class Rate(NamedTuple):
    """Prices of a million tokens in 1e-9 USD, for calls of at least so many input tokens.

    None: such input costs as much as any other. ``cache_write_price`` is that of the provider's shortest lifetime.
    """

    from_input_tokens: int
    input_price: int
    cached_input_price: int | None
    cache_write_price: int | None
    output_price: int

    @property
    def cached(self) -> int:
        """The price of input that the provider reads from its cache."""
        return self.input_price if self.cached_input_price is None else self.cached_input_price

    @property
    def cache_write(self) -> int:
        """The price of input that the provider writes into its cache."""
        return self.input_price if self.cache_write_price is None else self.cache_write_price


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of a model: the operator's own, or that of the price list.

    ``rates`` are in ascending order, the first from 0 tokens on. A call has one rate for all of its tokens: the last
    one that its input reaches.
    """

    provider: Provider
    model: str
    source: Source
    rates: tuple[Rate, ...]

    @property
    def base(self) -> Rate:
        """The rate of small calls, which is the one that lists show."""
        return self.rates[0]

    def reached(self, input_tokens: int) -> tuple[Rate, ...]:
        """The rates that calls of up to so many input tokens may have."""
        return tuple(rate for rate in self.rates if rate.from_input_tokens <= input_tokens)


def cost(
    price: ModelPrice,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> int:
    """What a call has cost in 1e-9 USD, rounded up; cached and written tokens are among the input tokens."""
    rate = price.reached(input_tokens)[-1]
    plain = max(input_tokens - cached_input_tokens - cache_write_tokens, 0)
    return _per_token(
        plain * rate.input_price
        + cached_input_tokens * rate.cached
        + cache_write_tokens * rate.cache_write
        + output_tokens * rate.output_price
    )


def worst_case(price: ModelPrice, *, input_bound: int, max_tokens: int) -> int:
    """What no call costs more than that has at most these tokens, in 1e-9 USD.

    All of its input may be written into the provider's cache, and any rate may be the dearest.
    """
    return max(
        _per_token(input_bound * max(rate.input_price, rate.cached, rate.cache_write) + max_tokens * rate.output_price)
        for rate in price.reached(input_bound)
    )


def _per_token(priced: int) -> int:
    return min(-(-priced // PRICED_TOKENS), MAX_COST)
