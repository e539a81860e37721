"""The kinds of field that requests are made of, with their bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from app.contract.fields import (
    IS_NAME,
    CamelChanges,
    CamelRequest,
    RequestModel,
    TenantSlug,
    blank_is_null,
    trimmed,
    typed_code,
    typed_slug,
)
from sql import bounds
from sql.bounds import MAX_ID

__all__ = [
    "IS_NAME",
    "MAX_PAGES",
    "NO_NUL",
    "TENANT_SLUG_IN_PATH",
    "YEARS",
    "CamelChanges",
    "CamelRequest",
    "DeviceId",
    "HardwareFingerprint",
    "Moment",
    "PageNumber",
    "RequestModel",
    "TenantSlug",
    "blank_is_null",
    "trimmed",
    "typed_code",
    "typed_slug",
    "written_out",
]

NO_NUL = bounds.NO_NUL
MAX_PAGES = 10**9
YEARS = range(1970, 9999)


def _in_reach(moment: datetime) -> datetime:
    """Refuse what no clock shows and no database converts."""
    if moment.year not in YEARS:
        raise ValueError(f"must be in the years {YEARS.start} to {YEARS.stop - 1}")
    return moment


def written_out(value: object) -> object:
    """Refuse the bare number, in quotes or not, that would be taken for seconds since the epoch."""
    if isinstance(value, int | float) or (isinstance(value, str) and "-" not in value[1:]):
        raise ValueError("must be a moment such as 2026-01-31T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(_in_reach)]
HardwareFingerprint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=NO_NUL,
        description="Whatever identifies the hardware, the same at every call but for blanks around it and the case "
        "of hexadecimal forms; only its SHA-256 is stored.",
    ),
]
PageNumber = Annotated[int, Field(ge=1, le=MAX_PAGES, description="Which page, from 1.")]
DeviceId = Annotated[int, Field(ge=1, le=MAX_ID, description="The device's id, as activation answered it.")]

TENANT_SLUG_IN_PATH = {"tenant_slug": "The tenant's slug."}
