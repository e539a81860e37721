"""The public price list: what it knows, and that knowing it takes neither the network nor a web worker's memory."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.services.llm.price_list import list_price, search_price_list
from app.services.llm.setting_values import Provider

HOUSE = Path(__file__).parents[4]
AT = datetime(2026, 11, 1, tzinfo=UTC)
# Whatever would open a connection, look up a name or start a thread that does.
OFFLINE = """
import asyncio, sys, threading
from datetime import UTC, datetime
from app.services.llm.price_list import list_price, search_price_list

async def ask():
    sys.addaudithook(refuse)
    at = datetime(2026, 11, 1, tzinfo=UTC)
    found = await list_price("openai", "gpt-4o", at), await list_price("openai", "nobody's", at)
    return [price and price.base.input_price for price in found], len(list(await search_price_list("gpt", at)))

def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto", "socket.bind")):
        raise AssertionError(event)

prices, matches = asyncio.run(ask())
assert prices == [2_500_000_000, None], prices
assert matches > 50, matches
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
try:
    import socket
    socket.create_connection(("127.0.0.1", 9))
except AssertionError:
    print("nothing was asked")
"""
NEVER_LOADED = """
import sys
import app.server, app.commands.worker, app.__main__
assert "app.services.llm.price_list" in sys.modules
print("genai_prices" in sys.modules)
"""


def said(program: str) -> str:
    ran = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_list_asks_nobody_when_it_is_loaded_and_when_it_is_used() -> None:
    assert said(OFFLINE) == "nothing was asked"


def test_a_process_that_asks_for_no_price_loads_no_list() -> None:
    assert said(NEVER_LOADED) == "False"


@pytest.mark.parametrize(
    ("provider", "model", "input_price"),
    [
        ("gemini", "gemini-2.5-flash", 300_000_000),
        ("openai", "gpt-4o", 2_500_000_000),
        ("anthropic", "claude-3-5-sonnet-20250219", 3_000_000_000),
        # Each provider has its own prices, and none for the others' models.
        ("openai", "gemini-2.5-flash", None),
        ("openai", "local/llama:7b", None),
        ("openai", "", None),
        # Paid by the hour, and free of charge: no budget is kept with either, unless an operator sets a price.
        ("openai", "gpt-live-1", None),
        ("gemini", "gemma-3", None),
    ],
)
async def test_the_defaults_have_prices_and_what_is_not_paid_by_tokens_has_none(
    provider: Provider, model: str, input_price: int | None
) -> None:
    price = await list_price(provider, model, AT)

    assert (price and price.base.input_price) == input_price
    assert price is None or (price.provider, price.model, price.source) == (provider, model, "list")


async def test_a_price_that_changes_on_a_day_is_that_of_the_moment() -> None:
    days = datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    prices = [await list_price("gemini", "gemini-3.7-flash", day) for day in days]

    assert [price and price.base.output_price for price in prices] == [3_750_000_000, 7_500_000_000]


async def test_tiers_begin_above_their_threshold() -> None:
    price = await list_price("gemini", "gemini-2.5-pro", AT)

    assert price is not None
    assert [(rate.from_input_tokens, rate.input_price, rate.output_price) for rate in price.rates] == [
        (0, 1_250_000_000, 10_000_000_000),
        (200_001, 2_500_000_000, 15_000_000_000),
    ]


async def test_a_search_finds_parts_of_names_in_any_case_by_provider() -> None:
    found = [(price.provider, price.model) for price in await search_price_list("SONNET-4-5", AT)]

    assert ("anthropic", "claude-sonnet-4-5") in found
    assert found == sorted(found)
    assert all("sonnet-4-5" in model for _, model in found)
    assert list(await search_price_list("nobody's", AT)) == []
