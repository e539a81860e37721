"""Devices of all tenants: listing and revoking them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED, CAMEL
from app.services.licensing import device_list
from app.services.licensing import devices as licensed
from app.services.licensing.device_list import ListedDevice
from blueprints.admin_api import api
from blueprints.admin_api.codes import Done
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel, TenantSlug


class DeviceQuery(RequestModel):
    """Which devices."""

    tenant_slug: Annotated[TenantSlug | None, Field(description="Only this tenant's.")] = None
    search: Annotated[
        str,
        Field(
            max_length=200,
            pattern=NO_NUL,
            description="A part of the label or the tenant's name, or the beginning of the fingerprint.",
        ),
    ] = ""
    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=100, description="Devices a page.")] = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAnswer:
    """A device that was activated at some time."""

    __pydantic_config__ = CAMEL
    id: int
    tenant: str
    tenant_slug: str
    label: str | None
    hw_fingerprint: Annotated[str, Field(description="SHA-256 of what the device sends.")]
    device_type: Literal["desktop"] = "desktop"
    last_seen: datetime
    created_at: datetime
    is_revoked: bool

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


@api.operation(
    "GET",
    "/devices",
    caller=operator(Permission.DEVICES_READ),
    query=DeviceQuery,
    answers=DevicePage,
)
async def devices(ctx: Context, query: DeviceQuery) -> DevicePage:
    """List devices: a tenant's by when they were last seen, those of all tenants newest first.

    The total is exact for all devices, and for a filter up to 10,000.
    """
    listed = await device_list.list_devices(
        ctx, tenant_slug=query.tenant_slug, search=query.search, page=query.page, page_size=query.page_size
    )
    return DevicePage(
        devices=[DeviceAnswer.of(device) for device in listed.rows],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
    )


@api.operation(
    "DELETE",
    "/devices/{device_id:int}",
    caller=operator(Permission.DEVICES_WRITE),
    answers=Done,
    errors=(errors.DeviceNotFoundError,),
    path_parameters={"device_id": "The device's id."},
)
async def revoke_device(ctx: Context, device_id: int) -> Done:
    """Revoke a device: it is refused from its next request on, and its seat is free."""
    await licensed.revoke_device_by_id(ctx, device_id)
    return Done(message=f"Device {device_id} is revoked.")
