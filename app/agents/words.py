"""English words: singular and plural, names made of them, and those that say nothing about a project."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

_VOCABULARY: dict[str, Any] = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text())
_PLURALS: dict[str, str] = _VOCABULARY["plurals"]
_SINGULARS = {plural: singular for singular, plural in _PLURALS.items()}
_ENDS_LIKE_A_PLURAL = re.compile(r"(?:ss|us|is|as)$")
# How many letters a plural loses by its end; the first that fits counts.
_LOST_LETTERS = (
    (("houses", "auses", "euses"), 1),
    (("uses", "sses", "shes", "ches", "xes", "zzes", "aliases", "oes"), 2),
    (("s",), 1),
)
_TOKEN = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|--[a-z][a-z-]*|[(),:;/&]")


def vocabulary(name: str) -> frozenset[str]:
    """The words of a list of the vocabulary."""
    return frozenset(_VOCABULARY[name].split())


def listed(name: str) -> tuple[str, ...]:
    """The phrases of a list of the vocabulary, in its order."""
    return tuple(_VOCABULARY[name])


def grouped(name: str) -> dict[str, str]:
    """The group of each word of a table of the vocabulary."""
    return {word: group for group, words in _VOCABULARY[name].items() for word in words.split()}


FILLERS = vocabulary("fillers")
_INVARIABLE = vocabulary("invariable")


def fold(text: str) -> str:
    """The text in lower-case ASCII: accents are dropped, what has no ASCII form becomes a blank."""
    folded = unicodedata.normalize("NFKD", text.replace("\u00df", "ss").lower())
    kept = (each for each in folded if not unicodedata.combining(each))
    return "".join(each if each.isascii() else " " for each in kept)


def tokens(text: str) -> list[str]:
    """The words and the marks that matter of a text."""
    return _TOKEN.findall(fold(text))


def singular(word: str) -> str:
    """The singular of a noun; a noun in the singular stays."""
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word in _INVARIABLE or word in _PLURALS or len(word) < 3 or _ENDS_LIKE_A_PLURAL.search(word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    lost = next((number for ends, number in _LOST_LETTERS if word.endswith(ends)), 0)
    return word[: len(word) - lost]


def plural(word: str) -> str:
    """The plural of a noun; a noun in the plural stays."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word in _INVARIABLE or singular(word) != word:
        return word
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch", "x", "z")) else "s")


def slug(text: str, limit: int = 40, otherwise: str = "") -> str:
    """A name of lower-case letters, digits and underscores that begins with a letter."""
    name = re.sub(r"[^a-z0-9]+", "_", fold(text)).strip("_").lstrip("0123456789_")
    return name[:limit].rstrip("_") or otherwise
