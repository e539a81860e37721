"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter, Token, validators

from app import typed_text
from app.numerals import read_numeral
from sql.bounds import MAX_FIGURE, MAX_ID

AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON object.")]
# The ids that both databases can store.
_IS_ID = validators.Number(gte=1, lte=MAX_ID)


def read_id(_: object, tokens: Sequence[Token]) -> int:
    """An id as it was shown: in digits alone, where the library would read 1_7, +17 and 0x11 as well."""
    text = tokens[0].value
    try:
        return read_numeral(text)
    except ValueError:
        raise ValueError(f'"{text}" is no id: an id is a number in digits alone, as it was shown.') from None


def read_override(_: object, tokens: Sequence[Token]) -> int | Literal["plan"]:
    """A figure in digits alone, or the word that gives the plan's figure back."""
    text = tokens[0].value
    if text == "plan":
        return "plan"
    try:
        return read_numeral(text, MAX_FIGURE)
    except ValueError:
        raise ValueError(f'"{text}" is neither a number from 0 to {MAX_FIGURE} in digits alone nor plan.') from None


DeviceId = Annotated[int, Parameter(converter=read_id, validator=_IS_ID, help="The device's id.")]
CodeId = Annotated[
    int | None,
    Parameter(name="--id", converter=read_id, validator=_IS_ID, help="Or its id, as list-codes shows it."),
]


def _slug(_: object, tokens: Sequence[Token]) -> str:
    return typed_text.slug(tokens[0].value)


TenantSlug = Annotated[str, Parameter(converter=_slug, help="The tenant's slug.")]
