"""Records of use cases that are answered as they are, with members in camelCase: each is written once."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

# As ``__pydantic_config__`` of a dataclass it is found by whatever describes the answer and by whatever writes it.
CAMEL: Final = ConfigDict(alias_generator=to_camel, serialize_by_alias=True)

# Of a record whose members keep their names, around records in camelCase.
AS_NAMED: Final = ConfigDict(serialize_by_alias=True)
