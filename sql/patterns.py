"""LIKE patterns of search texts."""

from __future__ import annotations

_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def contains(text: str) -> str:
    """The LIKE pattern that matches any text containing this one; wildcards in it are escaped."""
    return f"%{text.translate(_ESCAPED)}%"
