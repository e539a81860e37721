"""LIKE patterns of search texts."""

from __future__ import annotations

import re

from sql.folding import fold

# The shortest text that a trigram index can be searched for.
TRIGRAM = 3
MAX_WORDS = 3
_WORD = re.compile(rf"\w{{{TRIGRAM},}}")
_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def contains(text: str) -> str:
    """The LIKE pattern that matches any folded text containing this one, folded; wildcards in it are escaped."""
    return contains_as_it_is(fold(text))


def contains_as_it_is(text: str) -> str:
    """As ``contains``, for texts that have no folded key."""
    return f"%{text.translate(_ESCAPED)}%"


def word_patterns(text: str) -> dict[str, str]:
    """The patterns ``word_0`` and on of some of a text's words, the longest first; none if it is a single word.

    What contains the text contains each of its words, so they change no result as additional conditions.
    """
    text = fold(text)
    words = sorted({word for word in _WORD.findall(text) if word != text}, key=len, reverse=True)
    return {f"word_{number}": contains(word) for number, word in enumerate(words[:MAX_WORDS])}
