"""The shapes of answers, as strictly as the front ends read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

Check = Callable[[Any], bool]


def whole(value: Any) -> bool:
    """An integer that is not negative; true and false are none."""
    return type(value) is int and value >= 0


def words(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def number(value: Any) -> bool:
    return type(value) in {int, float}


def optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def text(value: Any) -> bool:
    return isinstance(value, str)


def moment(value: Any) -> bool:
    """A date that a browser reads as the moment that it is, wherever it stands."""
    return words(value) and datetime.fromisoformat(value).tzinfo is not None


def address(value: Any) -> bool:
    return words(value) and bool(urlsplit(value).scheme and urlsplit(value).netloc)


def email(value: Any) -> bool:
    return words(value) and re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) is not None


def wrong_in(shown: Any, shape: Any, path: str = "") -> list[str]:
    """Where an answer is not what is read of it; a list of one shape is one of such items, and not empty."""
    if isinstance(shape, list):
        if not isinstance(shown, list) or not shown:
            return [f"{path}: {shown!r}"]
        return [wrong for index, item in enumerate(shown) for wrong in wrong_in(item, shape[0], f"{path}[{index}]")]
    if isinstance(shape, dict):
        missing = [f"{path}.{name}: missing" for name in shape if not isinstance(shown, dict) or name not in shown]
        return missing or [wrong for name in shape for wrong in wrong_in(shown[name], shape[name], f"{path}.{name}")]
    return [] if shape(shown) else [f"{path}: {shown!r}"]
