"""What a tenant's fields may hold, for everything that takes them in."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
MIN_SLUG = 3
MAX_SLUG = 100

# What browsers take for an address: the front end refuses a whole list for one that it does not.
_EMAIL = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_'+\-.]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}")
_COLOR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-f:.]+", re.IGNORECASE)


def is_slug(text: str) -> bool:
    """Whether it is lowercase words joined by single hyphens, of 3 to 100 characters."""
    return MIN_SLUG <= len(text) <= MAX_SLUG and re.fullmatch(SLUG[1:-1], text) is not None


def is_email(text: str) -> bool:
    """Whether it is an e-mail address."""
    return _EMAIL.fullmatch(text) is not None


def is_color(text: str) -> bool:
    """Whether it is a colour as ``#rgb`` or ``#rrggbb``."""
    return _COLOR.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """Whether it is an absolute http or https address."""
    if any(character <= " " or character in '<>"{}|\\^`' for character in text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") is not None
