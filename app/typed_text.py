"""What a person has typed or pasted, as it was meant: without what no eye sees, and in one form."""

from __future__ import annotations

import unicodedata

_BLANK = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# Soft hyphens, zero-width spaces and joiners, marks of direction, byte order marks: copied from pages and documents.
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_AROUND = _BLANK + _INVISIBLE
_WITHOUT_INVISIBLE = str.maketrans("", "", _INVISIBLE)


def stripped(text: str) -> str:
    """The text without blanks, line ends and invisible characters around it."""
    return text.strip(_AROUND)


def plain(text: str) -> str:
    """A text of letters and digits: full-width ones as usual ones, without invisible characters, stripped."""
    return unicodedata.normalize("NFKC", text.translate(_WITHOUT_INVISIBLE)).strip(_BLANK)


def slug(text: str) -> str:
    """A tenant's slug, whatever its letter case and the blanks around it."""
    return plain(text).lower()


def joined(text: str) -> str:
    """A code that may be written in groups: without blanks, line ends and dashes."""
    return "".join(
        character for character in plain(text) if not character.isspace() and unicodedata.category(character) != "Pd"
    )
