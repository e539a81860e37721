"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token, validators

from app import typed_text
from app.numerals import read_numeral
from sql.bounds import MAX_ID

AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON object.")]
# The ids that both databases can store.
_IS_ID = validators.Number(gte=1, lte=MAX_ID)


def read_id(_: object, tokens: Sequence[Token]) -> int:
    """An id as it was shown: in digits alone, where the library would read 1_7, +17 and 0x11 as well."""
    return read_numeral(tokens[0].value)


DeviceId = Annotated[int, Parameter(converter=read_id, validator=_IS_ID, help="The device's id.")]
CodeId = Annotated[
    int | None,
    Parameter(name="--id", converter=read_id, validator=_IS_ID, help="Or its id, as list-codes shows it."),
]


def _slug(_: object, tokens: Sequence[Token]) -> str:
    return typed_text.slug(tokens[0].value)


TenantSlug = Annotated[str, Parameter(converter=_slug, help="The tenant's slug.")]
