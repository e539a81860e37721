"""What calls cost: to the last 1e-9 USD as the price list says, and never more than the worst case."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from app.services.llm.model_price import ModelPrice, Rate, cost, worst_case
from app.services.llm.price_list import NAMES, list_price
from app.services.llm.setting_values import Provider

AT = datetime(2026, 11, 1, tzinfo=UTC)
# Cached input cheap, and writing the cache dearer than reading none; a call above 200,000 tokens costs twice as much.
TIERED = ModelPrice(
    "anthropic",
    "tiered",
    "list",
    (
        Rate(0, 3_000_000_000, 300_000_000, 3_750_000_000, 15_000_000_000),
        Rate(200_001, 6_000_000_000, 600_000_000, 7_500_000_000, 22_500_000_000),
    ),
)
FLAT = ModelPrice("openai", "flat", "own", (Rate(0, 1, None, None, 3),))

tokens = st.integers(0, 2**40)
amounts = st.integers(0, 10**15)


def test_what_is_not_cached_what_is_and_what_is_written_have_prices_of_their_own() -> None:
    spent = cost(TIERED, input_tokens=1000, cached_input_tokens=600, cache_write_tokens=300, output_tokens=10)

    assert spent == 100 * 3000 + 600 * 300 + 300 * 3750 + 10 * 15000


def test_a_tier_holds_for_all_tokens_of_a_call_that_reaches_it() -> None:
    assert cost(TIERED, input_tokens=200_000, output_tokens=1) == 200_000 * 3000 + 15000
    assert cost(TIERED, input_tokens=200_001, output_tokens=1) == 200_001 * 6000 + 22500


def test_a_part_of_the_smallest_amount_is_rounded_up() -> None:
    assert cost(FLAT, input_tokens=0, output_tokens=0) == 0
    assert cost(FLAT, input_tokens=1, output_tokens=0) == 1
    assert cost(FLAT, input_tokens=1_000_000, output_tokens=0) == 1
    assert cost(FLAT, input_tokens=1_000_001, cached_input_tokens=1_000_001, output_tokens=0) == 2


def test_no_call_counts_as_more_than_a_million_usd() -> None:
    dear = ModelPrice("openai", "dear", "own", (Rate(0, 10**15, None, None, 10**15),))

    assert cost(dear, input_tokens=10**9, output_tokens=10**9) == 10**15
    assert worst_case(dear, input_bound=10**9, max_tokens=10**9) == 10**15


def test_the_worst_case_writes_all_of_the_input_into_the_cache() -> None:
    assert worst_case(TIERED, input_bound=200_000, max_tokens=100) == 200_000 * 3750 + 100 * 15000
    assert worst_case(TIERED, input_bound=200_001, max_tokens=100) == 200_001 * 7500 + 100 * 22500


@given(
    st.lists(st.tuples(st.integers(1, 10**6), amounts, amounts | st.none(), amounts | st.none(), amounts), max_size=3),
    st.tuples(amounts, amounts | st.none(), amounts | st.none(), amounts),
    st.tuples(tokens, tokens, tokens, tokens),
    st.tuples(tokens, tokens),
)
def test_no_call_within_its_bounds_costs_more_than_the_worst_case(
    tiers: list[tuple[int, int, int | None, int | None, int]],
    base: tuple[int, int | None, int | None, int],
    used: tuple[int, int, int, int],
    spare: tuple[int, int],
) -> None:
    price = ModelPrice(
        "openai", "any", "list", (Rate(0, *base), *(Rate(*tier) for tier in sorted(tiers, key=lambda tier: tier[0])))
    )
    plain, cached, written, output = used
    input_tokens = plain + cached + written

    bound = worst_case(price, input_bound=input_tokens + spare[0], max_tokens=output + spare[1])

    spent = cost(
        price,
        input_tokens=input_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
    )
    assert 0 <= spent <= bound


# Just below, at and above each tier there is, and a usual call.
@pytest.mark.parametrize("size", [1, 4_321, 100_000, 100_001, 128_001, 200_000, 200_001, 272_001, 1_000_000])
@pytest.mark.parametrize("provider", NAMES)
async def test_every_price_of_the_list_is_reckoned_as_the_library_does(provider: Provider, size: int) -> None:
    models = next(one for one in get_snapshot().providers if one.id == NAMES[provider]).models
    compared = 0
    for model in models:
        price = await list_price(provider, model.id, AT)
        if price is None:
            continue
        # What the library does not price by tokens of its own, it counts among the others.
        usage = Usage(
            input_tokens=size, cache_read_tokens=size // 3, cache_write_tokens=size // 4, output_tokens=size // 7 + 1
        )
        expected = calc_price(usage, model.id, provider_id=NAMES[provider], genai_request_timestamp=AT)
        spent = cost(
            price,
            input_tokens=size,
            cached_input_tokens=size // 3,
            cache_write_tokens=size // 4,
            output_tokens=size // 7 + 1,
        )
        assert spent == int(expected.total_price.scaleb(9).to_integral_value(ROUND_CEILING)), model.id
        compared += 1
    assert compared >= 25


async def test_prices_are_whole_numbers_of_the_smallest_amount() -> None:
    price = await list_price("gemini", "gemini-2.5-flash", AT)

    assert price is not None
    assert price.base == Rate(0, 300_000_000, 30_000_000, None, 2_500_000_000)
    assert all(isinstance(part, int) and not isinstance(part, Decimal) for part in price.base if part is not None)
