"""Devices as operators and their tenants are answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.contract.camel import AS_NAMED, CAMEL
from app.services.licensing.device_list import ListedDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAnswer:
    """A device that was activated at some time."""

    __pydantic_config__ = CAMEL
    id: int
    tenant: str
    tenant_slug: str
    label: str | None
    hw_fingerprint: Annotated[str, Field(description="SHA-256 of what the device sends, normalised.")]
    device_type: Literal["desktop"] = "desktop"
    last_seen: datetime
    created_at: datetime
    is_revoked: bool
    has_seat: Annotated[bool, Field(description="Whether it takes a seat of its tenant's subscription.")]
    clone_count: Annotated[
        int,
        Field(description="How many copies were seen: tokens that came back after a later activation had ended them."),
    ]

    @classmethod
    def of(cls, device: ListedDevice) -> DeviceAnswer:
        """The answer about a device of the list."""
        return cls(**device._asdict())


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePage:
    """A page of devices; where the total is capped, there are more."""

    __pydantic_config__ = AS_NAMED
    devices: list[DeviceAnswer]
    total: int
    total_is_capped: bool
