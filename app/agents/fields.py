"""Fields of what a project keeps: their kinds, read from their names and from what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.agents.words import grouped, singular, slug, vocabulary

MAX_FIELDS = 20
MAX_OPTIONS = 12
MAX_WORDS = 4

_KIND_OF_NAME = grouped("kinds_by_name")
_KIND_OF_TYPE = grouped("kinds_by_type")
_OPTIONAL = frozenset({"optional", "optionally"})
_QUALIFIERS = vocabulary("field_qualifiers") | _OPTIONAL | {"unique"}
_RESERVED = vocabulary("reserved_fields")


class Field(NamedTuple):
    """A field: ``kind`` is text, integer, decimal, boolean, date, datetime, email, url, choice or reference.

    ``bound`` of a number is "positive", "not negative" or nothing. ``options`` are those of a choice, ``target`` is the
    entity that a reference leads to, ``header`` is how a file spells the field if not like its name.
    """

    name: str
    kind: str = "text"
    required: bool = True
    unique: bool = False
    bound: str = ""
    options: tuple[str, ...] = ()
    target: str = ""
    header: str = ""

    @property
    def is_text(self) -> bool:
        """Whether a part of it can be searched for."""
        return self.kind in {"text", "email", "url"}


def kind_of(words: Sequence[str]) -> str:
    """The kind that a field's name suggests; text if nothing else."""
    if words[:2] == ["number", "of"] or words[0] == "num":
        return "integer"
    if words[0] in {"is", "has"} and len(words) > 1:
        return "boolean"
    # The year of "year of publication", and the publication of "publication year".
    last = words[words.index("of") - 1] if "of" in words[1:] else words[-1]
    if last in {"on", "at"} and len(words) > 1:
        return "date" if last == "on" else "datetime"
    return _KIND_OF_NAME.get(last) or _KIND_OF_NAME.get(singular(last), "text")


def field_of(words: Sequence[str], beside: Sequence[str] = (), entity: str = "") -> Field | None:
    """The field of an item of a list; ``beside`` are the words in its parentheses. None if it is no name of a field."""
    said = {*words, *beside}
    kind = next((_KIND_OF_TYPE[word] for word in beside if word in _KIND_OF_TYPE), "")
    last = len(words) - 1
    # "Date of birth" is a name, "of" at an end is none.
    name = [word for at, word in enumerate(words) if word not in _QUALIFIERS or (word == "of" and 0 < at < last)]
    if len(name) > 1 and not kind and words[-2:-1] == ["as"]:
        kind = _KIND_OF_TYPE.get(name.pop(), "")
    if not name or len(name) > MAX_WORDS or not slug(" ".join(name)):
        return None
    options = () if kind else _options(beside)
    field = Field(
        slug("_".join(name).replace("e-mail", "email")),
        "choice" if options else kind or kind_of(name),
        unique="unique" in said,
        options=options,
    )
    optional = bool(said & _OPTIONAL) or field.kind == "boolean"
    field = field._replace(required=not optional)
    if field.name == "id":
        return field._replace(name=f"{singular(entity)}_id" if entity else "number", unique=True, header="id")
    if field.name in _RESERVED:
        return field._replace(name=f"{field.name}_value", header=field.name)
    return field


def _options(beside: Sequence[str]) -> tuple[str, ...]:
    """The words between which "status (open, closed)" lets choose."""
    words = [word for word in beside if word not in _QUALIFIERS and word not in {",", "/"} and "'" not in word]
    named = dict.fromkeys(word for word in words if word[:1].isalpha())
    return tuple(named)[:MAX_OPTIONS] if len(named) > 1 else ()
