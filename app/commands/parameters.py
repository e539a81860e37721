"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token, validators

from app import typed_text
from sql.bounds import MAX_ID

AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON object.")]
# The ids that both databases can store.
_IS_ID = validators.Number(gte=1, lte=MAX_ID)
DeviceId = Annotated[int, Parameter(validator=_IS_ID, help="The device's id.")]
CodeId = Annotated[int | None, Parameter(name="--id", validator=_IS_ID, help="Or its id, as list-codes shows it.")]


def _slug(_: object, tokens: Sequence[Token]) -> str:
    return typed_text.slug(tokens[0].value)


TenantSlug = Annotated[str, Parameter(converter=_slug, help="The tenant's slug.")]
