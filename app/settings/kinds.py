"""Kinds of values that settings have beyond pydantic's own: lists, addresses, processes, prices, cron lines."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.settings import database_address, urls

MAX_WORK_PROCESSES = 64
MAX_ADDRESS, MAX_RECIPIENTS = 200, 20
MAX_TIERS, MAX_CODE_PRICE = 20, 1_000_000


class CodePrice(NamedTuple):
    """From ``quantity`` codes on, each costs ``unit_amount`` in the smallest unit of the currency."""

    quantity: int
    unit_amount: int


def _split(value: object) -> object:
    """The parts of a text ``a, b``, as in an environment variable; a list from a file is returned unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _work_processes(value: object) -> int | str:
    """A number, or a word: ``auto`` chooses, ``elsewhere`` leaves the work to other hosts."""
    text = str(value).strip()
    if text in {"auto", "elsewhere"}:
        return text
    if not text.isdecimal() or int(text) > MAX_WORK_PROCESSES:
        raise ValueError(f"must be auto, elsewhere or a number from 0 to {MAX_WORK_PROCESSES}")
    return int(text)


def _address(value: str) -> str:
    if not value.isascii() or len(value) > MAX_ADDRESS or not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", value):
        raise ValueError(f"{value!r} is not an e-mail address")
    return value


def _code_price(value: str | tuple[int, int]) -> CodePrice:
    if isinstance(value, tuple):
        # Settings that were made from other settings.
        return CodePrice(*value)
    found = re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,7})\s*", value, re.ASCII)
    price = CodePrice(int(found[1]), int(found[2])) if found else None
    if price is None or not price.quantity or not 1 <= price.unit_amount <= MAX_CODE_PRICE:
        raise ValueError(f"{value!r} is not a number of codes and the price of each, such as 10: 350")
    return price


def _tiers(prices: tuple[CodePrice, ...]) -> tuple[CodePrice, ...]:
    quantities = [price.quantity for price in prices]
    if quantities[0] != 1 or quantities != sorted(set(quantities)):
        raise ValueError("must begin with a price from 1 code on, and name each number once, the smallest first")
    return prices


def _cron_line(line: str) -> str:
    if not croniter.is_valid(line):
        raise ValueError(f"{line!r} is not a cron line such as '15 3 * * *'")
    return line


def _database(address: SecretStr) -> SecretStr:
    if text := address.get_secret_value():
        database_address.check(text)
    return address


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(urls.origin)], ...], NoDecode, BeforeValidator(_split)]
Cron = Annotated[str, AfterValidator(_cron_line)]
DatabaseAddress = Annotated[SecretStr, AfterValidator(_database)]
WorkProcesses = Annotated[int | str, NoDecode, BeforeValidator(_work_processes)]
Recipients = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(lambda addresses: tuple(dict.fromkeys(addresses))),
    Field(max_length=MAX_RECIPIENTS),
]
CodePrices = Annotated[
    tuple[Annotated[CodePrice, BeforeValidator(_code_price)], ...],
    NoDecode,
    BeforeValidator(_split),
    Field(min_length=1, max_length=MAX_TIERS),
    AfterValidator(_tiers),
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
