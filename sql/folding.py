"""The key by which people's words are searched and ordered, the same on every database because we make it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

# A name of 255 characters may become longer; an index entry of PostgreSQL holds 2,700 bytes.
MAX_KEY = 500
# The classes of marks that people leave out: vowel points, and whatever stands above or below a letter. Those of other
# classes make another letter, such as the voiced sounds of Japanese.
_POINTS = range(10, 37)
_ACCENTS = range(200, 256)
_BETWEEN = "\n"


def fold(text: str) -> str:
    """The text without letter case, accents, invisible characters and repeated blanks: Äpfel, äpfel and APFEL are one.

    Composed and decomposed letters, and full-width ones, become the same. A text of accents alone stays one.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = "".join(character for character in decomposed if not _is_left_out(character))
    return " ".join(unicodedata.normalize("NFC", kept).split()) or text.casefold()


def _is_left_out(character: str) -> bool:
    place = unicodedata.combining(character)
    return place in _ACCENTS or place in _POINTS or unicodedata.category(character) == "Cf"


def key(*texts: str | None) -> str | None:
    """The key of a name: of the first text that is not empty, cut to what an index holds; None without any."""
    return next((fold(text)[:MAX_KEY] for text in texts if text), None)


def joined_key(*texts: str | None) -> str:
    """The key of several texts that are searched together; no key of one text holds what stands between them."""
    return _BETWEEN.join(fold(text) for text in texts if text)


def key_of(*columns: str) -> Callable[[Any], str | None]:
    """The default of a column that holds the key of others of its row; a change of those sets it itself."""
    return lambda context: key(*_values(context.get_current_parameters(), columns))


def joined_key_of(*columns: str) -> Callable[[Any], str]:
    """As ``key_of``, of several columns that are searched together."""
    return lambda context: joined_key(*_values(context.get_current_parameters(), columns))


def _values(row: Mapping[str, Any], columns: tuple[str, ...]) -> list[str | None]:
    return [row.get(name) for name in columns]
