"""The address that a request asks for, which no log may show: a query or a path may hold a token or a sign-in link."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "[hidden]"
# Parts of an address that are this long may be secrets; names of routes are shorter.
_MIN_CHARACTERS: Final = 24
_MIN_QUERY: Final = 8
_BETWEEN = re.compile(r"[/?&=;#]")

# The target of the request that is answered here, as it was sent.
told_address: ContextVar[str] = ContextVar("told_address", default="")


def without_address(text: str) -> str:
    """The text without what may be secret in the address of the request that is answered here."""
    if not (target := told_address.get()):
        return text
    parts = {part for part in _BETWEEN.split(target) if len(part) >= _MIN_CHARACTERS}
    if len(query := target.partition("?")[2]) >= _MIN_QUERY:
        parts.add(query)
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return text
