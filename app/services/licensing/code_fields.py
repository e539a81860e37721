"""The fields of new activation codes as requests bring them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.contract.fields import IS_NAME, RequestModel, TenantSlug, blank_is_null
from app.services.licensing.codes import MAX_CODES, MAX_DAYS, MAX_LABEL, MAX_USES
from sql.bounds import NO_NUL

Label = Annotated[str, Field(max_length=MAX_LABEL, pattern=NO_NUL), IS_NAME]


class GenerateCodes(RequestModel):
    """New codes for a tenant."""

    tenant_slug: TenantSlug
    count: Annotated[int, Field(ge=1, le=MAX_CODES)] = 1
    ttl_days: Annotated[int | None, Field(ge=0, le=MAX_DAYS, description="0 or null: they never expire.")] = 365
    label: Annotated[Label | None, BeforeValidator(blank_is_null)] = None
    max_uses: Annotated[int, Field(ge=1, le=MAX_USES, description="Devices that each may activate.")] = 1

    def wanted(self) -> dict[str, Any]:
        """How many codes of which kind."""
        return {
            "count": self.count,
            "ttl_days": self.ttl_days or None,
            "label": self.label,
            "max_uses": self.max_uses,
        }
