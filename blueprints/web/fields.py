"""The kinds of field that requests are made of, with their bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sql import bounds
from sql.bounds import MAX_ID

NO_NUL = bounds.NO_NUL
MAX_PAGES = 10**9
YEARS = range(1970, 9999)


def trimmed(value: object) -> object:
    """A text without the blanks around it."""
    return value.strip() if isinstance(value, str) else value


def blank_is_null(value: object) -> object:
    """A field that a form leaves empty is not there."""
    return (value.strip() or None) if isinstance(value, str) else value


def _in_reach(moment: datetime) -> datetime:
    """Refuse what no clock shows and no database converts."""
    if moment.year not in YEARS:
        raise ValueError(f"must be in the years {YEARS.start} to {YEARS.stop - 1}")
    return moment


def _written_out(value: object) -> object:
    """Refuse the bare number that would be taken for seconds since the epoch."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a moment such as 2026-01-31T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_reach)]
TenantSlug = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL, description="The tenant's slug.")]
HardwareFingerprint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=NO_NUL,
        description="Whatever identifies the hardware, the same at every call; only its SHA-256 is stored.",
    ),
]
PageNumber = Annotated[int, Field(ge=1, le=MAX_PAGES, description="Which page, from 1.")]
DeviceId = Annotated[int, Field(ge=1, le=MAX_ID, description="The device's id, as activation answered it.")]

TENANT_SLUG_IN_PATH = {"tenant_slug": "The tenant's slug."}


class RequestModel(BaseModel):
    """A JSON body: types as stated, unknown members ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class CamelRequest(BaseModel):
    """A JSON body whose members may be written in camelCase or in snake_case; unknown ones are refused."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


class CamelChanges(CamelRequest):
    """What changes of a thing; what is absent stays as it is.

    So the document states no default: there are programs that send the ones they read, and would change everything.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    def changes(self) -> dict[str, Any]:
        """The members that were sent, by their names here, and only those."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
