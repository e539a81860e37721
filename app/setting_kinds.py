"""Kinds of values that settings have beyond pydantic's own: lists, origins, a number of processes."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

MAX_WORK_PROCESSES = 64


def _split(value: object) -> object:
    """The parts of a text ``a, b``, as in an environment variable; a list from a file is returned unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(value: str) -> str:
    parts = urlsplit(value.lower())
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ValueError(f"{value!r} is not an origin such as https://portal.example.com")
    return value.lower()


def _work_processes(value: object) -> int | str:
    """A number, or a word: ``auto`` chooses, ``elsewhere`` leaves the work to other hosts."""
    text = str(value).strip()
    if text in {"auto", "elsewhere"}:
        return text
    if not text.isdecimal() or int(text) > MAX_WORK_PROCESSES:
        raise ValueError(f"must be auto, elsewhere or a number from 0 to {MAX_WORK_PROCESSES}")
    return int(text)


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]
WorkProcesses = Annotated[int | str, NoDecode, BeforeValidator(_work_processes)]
