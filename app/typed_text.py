"""What a person has typed or pasted, as it was meant: without what no eye sees, and in one form."""

from __future__ import annotations

import unicodedata

_BLANK = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# Soft hyphens, zero-width spaces and joiners, marks of direction, byte order marks: copied from pages and documents.
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
# Letters and signs that are drawn as nothing: fillers of Hangul, and the empty pattern of Braille.
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
# Control characters, among them the usual line ends, and the separators of lines and paragraphs.
_NOT_IN_A_LINE = frozenset({"Cc", "Zl", "Zp"})
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


def fault_of_name(text: str) -> str | None:
    """Why this is no name, None if it is one: a name is one line, and has something that can be seen."""
    categories = [unicodedata.category(character) for character in text]
    if any(category in _NOT_IN_A_LINE for category in categories):
        return "must be in one line, without control characters"
    # Half a character, as a command line may hand it over, is for those to refuse who encode it.
    if not any(
        category == "Cs" or (category[0] in "LNPS" and character not in _BLANK_LETTERS)
        for category, character in zip(categories, text, strict=True)
    ):
        return "must have something in it that can be seen"
    return None
