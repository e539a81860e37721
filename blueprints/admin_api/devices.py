"""Devices of all tenants: listing and revoking them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.api_document import DATABASE_ERRORS
from app.services.licensing import devices as licensed
from app.services.licensing import license_lists
from app.services.licensing.license_lists import ListedDevice
from blueprints.admin_api import api
from blueprints.admin_api.codes import MAX_PAGES, Done
from blueprints.web.fields import NO_NUL, CamelAnswer, RequestModel, TenantSlug


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
    page: Annotated[int, Field(ge=1, le=MAX_PAGES, description="Which page, from 1.")] = 1
    page_size: Annotated[int, Field(ge=1, le=100, description="Devices a page.")] = 25


class DeviceAnswer(CamelAnswer):
    """A device that was activated at some time."""

    id: int
    tenant: str
    tenant_slug: str
    label: str | None
    hw_fingerprint: Annotated[str, Field(description="SHA-256 of what the device sends.")]
    device_type: Literal["desktop"] = "desktop"
    last_seen: datetime
    created_at: datetime
    is_revoked: bool


class DevicePage(BaseModel):
    """A page of devices; where the total is capped, there are more."""

    devices: list[DeviceAnswer]
    total: int
    total_is_capped: bool


@api.operation(
    "GET",
    "/devices",
    caller=operator(Permission.DEVICES_READ),
    query=DeviceQuery,
    answers=DevicePage,
    errors=DATABASE_ERRORS,
)
async def devices(ctx: Context, query: DeviceQuery) -> dict[str, Any]:
    """List devices: a tenant's by when they were last seen, those of all tenants newest first.

    The total is exact for all devices, and for a filter up to 10,000.
    """
    found = await license_lists.list_all_devices(
        ctx, tenant_slug=query.tenant_slug, search=query.search, page=query.page, page_size=query.page_size
    )
    return {
        "devices": [_shown(device) for device in found.rows],
        "total": found.total.total,
        "total_is_capped": found.total.is_capped,
    }


def _shown(device: ListedDevice) -> dict[str, Any]:
    """The members of a DeviceAnswer, as they are: what the database has given is not checked again."""
    return {
        "id": device.id,
        "tenant": device.tenant,
        "tenantSlug": device.tenant_slug,
        "label": device.label,
        "hwFingerprint": device.hw_fingerprint,
        "deviceType": "desktop",
        "lastSeen": device.last_seen,
        "createdAt": device.created_at,
        "isRevoked": device.is_revoked,
    }


@api.operation(
    "DELETE",
    "/devices/{device_id:int}",
    caller=operator(Permission.DEVICES_WRITE),
    answers=Done,
    errors=(errors.DeviceNotFoundError, *DATABASE_ERRORS),
    path_parameters={"device_id": "The device's id."},
)
async def revoke_device(ctx: Context, device_id: int) -> Done:
    """Revoke a device: it is refused from its next request on, and its seat is free."""
    await licensed.revoke_device_by_id(ctx, device_id)
    return Done(message=f"Device {device_id} is revoked.")
