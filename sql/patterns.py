"""What a person types into a search field, as a pattern."""

from __future__ import annotations

_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def contains(text: str) -> str:
    """The pattern of everything that holds this text; what means more in a pattern is taken as it is."""
    return f"%{text.translate(_ESCAPED)}%"
