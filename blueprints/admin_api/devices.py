"""Devices of all tenants: listing, releasing, revoking and reinstating them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.licensing import device_list
from app.services.licensing import devices as licensed
from blueprints.admin_api import api
from blueprints.admin_api.codes import Done
from blueprints.web.device_fields import DeviceAnswer, DevicePage
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


@api.operation(
    "POST",
    "/devices/{device_id:int}/release",
    caller=operator(Permission.DEVICES_WRITE),
    answers=Done,
    errors=(errors.DeviceNotFoundError,),
    path_parameters={"device_id": "The device's id."},
)
async def release_device(ctx: Context, device_id: int) -> Done:
    """Release a device: its seat is free, and the device is refused until it is activated again."""
    await licensed.release_device_by_id(ctx, device_id)
    return Done(message=f"Device {device_id} is released.")


@api.operation(
    "POST",
    "/devices/{device_id:int}/reinstate",
    caller=operator(Permission.DEVICES_WRITE),
    answers=Done,
    errors=(errors.DeviceNotFoundError,),
    path_parameters={"device_id": "The device's id."},
)
async def reinstate_device(ctx: Context, device_id: int) -> Done:
    """Reinstate a revoked device: it may be activated again, if there is a seat by then."""
    await licensed.reinstate_device_by_id(ctx, device_id)
    return Done(message=f"Device {device_id} may be activated.")
