"""Settings that are lists: a TOML array, or in the environment a text whose parts are separated by commas."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

MAX_ADDRESS, MAX_RECIPIENTS = 200, 20


def _split(value: object) -> object:
    """The parts of a text ``a, b``, as in an environment variable; a list from a file is returned unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(value: str) -> str:
    parts = urlsplit(value.lower())
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ValueError(f"{value!r} is not an origin such as https://portal.example.com")
    return value.lower()


def _address(value: str) -> str:
    if not value.isascii() or len(value) > MAX_ADDRESS or not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", value):
        raise ValueError(f"{value!r} is not an e-mail address")
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]

Recipients = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(lambda addresses: tuple(dict.fromkeys(addresses))),
    Field(max_length=MAX_RECIPIENTS),
]
