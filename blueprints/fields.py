"""The kinds of field that requests are made of, with their bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# PostgreSQL keeps no NUL in a text.
NO_NUL = r"^[^\x00]*$"

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
DeviceId = Annotated[int, Field(ge=1, le=2**63 - 1, description="The device's id, as activation answered it.")]

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


class CamelAnswer(BaseModel):
    """A JSON answer whose members are written in camelCase; moments are in UTC, with a Z."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)
