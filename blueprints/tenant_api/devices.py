"""A tenant's own devices: which hold a seat, and giving seats back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.contract.camel import CAMEL
from app.services.licensing import device_list
from app.services.licensing import devices as licensed
from blueprints.tenant_api import api
from blueprints.web.device_fields import DeviceAnswer, DevicePage
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel

DEVICE_ID = {"device_id": "The device's id."}


class OwnDeviceQuery(RequestModel):
    """Which of the tenant's devices."""

    search: Annotated[
        str,
        Field(max_length=200, pattern=NO_NUL, description="A part of the label, or the beginning of the fingerprint."),
    ] = ""
    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=100, description="Devices a page.")] = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDeviceChanged:
    """A device after a change."""

    __pydantic_config__ = CAMEL
    success: bool = True
    message: str


@api.operation("GET", "/devices", caller=TENANT, query=OwnDeviceQuery, answers=DevicePage)
async def own_devices(ctx: Context, query: OwnDeviceQuery) -> DevicePage:
    """The tenant's devices, by when they were last seen. The total is exact up to 10,000."""
    listed = await device_list.list_devices(
        ctx, tenant_slug=ctx.tenant_slug, search=query.search, page=query.page, page_size=query.page_size
    )
    return DevicePage(
        devices=[DeviceAnswer.of(device) for device in listed.rows],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
    )


@api.operation(
    "POST",
    "/devices/{device_id:int}/release",
    caller=TENANT,
    answers=OwnDeviceChanged,
    errors=(errors.DeviceNotFoundError,),
    path_parameters=DEVICE_ID,
)
async def release_own_device(ctx: Context, device_id: int) -> OwnDeviceChanged:
    """Release a device: its seat is free, and the device is refused until it is activated again."""
    await licensed.release_device(ctx, ctx.tenant_slug, device_id)
    return OwnDeviceChanged(message=f"Device {device_id} is released.")


@api.operation(
    "DELETE",
    "/devices/{device_id:int}",
    caller=TENANT,
    answers=OwnDeviceChanged,
    errors=(errors.DeviceNotFoundError, errors.RevokingNotAllowedError),
    path_parameters=DEVICE_ID,
)
async def revoke_own_device(ctx: Context, device_id: int) -> OwnDeviceChanged:
    """Revoke a device, if the plan lets tenants do that: it is refused for good, and its seat is free."""
    await licensed.revoke_own_device(ctx, device_id)
    return OwnDeviceChanged(message=f"Device {device_id} is revoked.")
