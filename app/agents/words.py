"""English words: singular and plural, names made of them, and those that say nothing about a project."""

from __future__ import annotations

import re
import unicodedata

_IRREGULAR = {
    "child": "children",
    "foot": "feet",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "tooth": "teeth",
    "woman": "women",
    "analysis": "analyses",
    "diagnosis": "diagnoses",
    "quiz": "quizzes",
    "leaf": "leaves",
    "shelf": "shelves",
    "wife": "wives",
    "life": "lives",
    "knife": "knives",
    "movie": "movies",
    "cookie": "cookies",
    "cache": "caches",
    "shoe": "shoes",
    "tie": "ties",
    "pie": "pies",
}
_SINGULAR = {plural: singular for singular, plural in _IRREGULAR.items()}
# Both are the same, or the word only looks like a plural.
_INVARIABLE = frozenset(
    "series species news equipment information data feedback staff software hardware inventory stock luggage furniture".split()
)
_ENDS_LIKE_A_PLURAL = re.compile(r"(?:ss|us|is|as|os)$")
_TOKEN = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|--[a-z][a-z-]*|[(),:;/&]")

# Words that may stand in any sentence.
FILLERS = frozenset(
    """a about above across after again all also always an and any anyone are as at automatically back based basic be been
    before being below between both but by can clean clear complete could data each easily easy either etc every everyone
    everything existing fast few following for from full fully functional further good has have having how i if in include
    included includes including into is it its itself just kind like lightweight local make makes many may me minimal modern more most must
    my need needed needs new nice no not of offer offers on one only or other others our out over own per please possible
    properly provide provided provides quick quickly ready real respective results robust several shall should simple simply single small so some
    such system tested that the their them then there these they thing things this those through to too two under up us use used user
    users uses using usable very via want wants we well were what when where which while who whole whose will with within
    without work working works would yet you your three four five ability able allow allowing allows application applications
    app apps build building create develop design enable enables generate generated implement implementation implemented
    implementing implements let lets project program support supported supporting supports supply set written write run
    running runs handle handles called named current currently given different available here line python python3 both
    customer's client's expose exposes offer quality professional""".split()
)


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
    if word in _SINGULAR:
        return _SINGULAR[word]
    if word in _INVARIABLE or word in _IRREGULAR or len(word) < 3 or not word.endswith("s"):
        return word
    if _ENDS_LIKE_A_PLURAL.search(word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("uses"):
        # buses and statuses lose two letters, houses and causes one.
        return word[:-1] if word.endswith(("houses", "auses", "euses")) else word[:-2]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes", "aliases")):
        return word[:-2]
    if word.endswith("oes"):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> str:
    """The plural of a noun; a noun in the plural stays."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _INVARIABLE or singular(word) != word:
        return word
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return word[:-1] + "ies"
    if word.endswith(("s", "sh", "ch", "x", "z")):
        return word + "es"
    return word + "s"


def slug(text: str, limit: int = 40, otherwise: str = "") -> str:
    """A name of lower-case letters, digits and underscores that begins with a letter."""
    name = re.sub(r"[^a-z0-9]+", "_", fold(text)).strip("_").lstrip("0123456789_")
    return name[:limit].rstrip("_") or otherwise
