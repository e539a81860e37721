"""Kinds of values that settings have beyond pydantic's own: lists, origins, mail addresses, a number of processes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from app import urls

MAX_WORK_PROCESSES = 64
MAX_ADDRESS, MAX_RECIPIENTS = 200, 20


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


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(urls.origin)], ...], NoDecode, BeforeValidator(_split)]
WorkProcesses = Annotated[int | str, NoDecode, BeforeValidator(_work_processes)]
Recipients = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(lambda addresses: tuple(dict.fromkeys(addresses))),
    Field(max_length=MAX_RECIPIENTS),
]
