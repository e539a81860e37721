"""Devices: a page of them, one of them, and releasing, revoking and reinstating one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ariadne import MutationType, ObjectType, QueryType

from app.context import Context
from app.resolvers.connections import Connection, Slice, by_id
from app.resolvers.context import Info
from app.resolvers.inputs import row_id
from app.resolvers.problems import Payload, changing
from app.services.directory.visible import seen_slug
from app.services.licensing.device_list import ListedDevice, list_devices
from app.services.licensing.devices import reinstate_device_by_id, release_device_by_id, revoke_device_by_id
from app.services.tenants.details import TenantDetails

query = QueryType()
mutation = MutationType()
device = ObjectType("Device")


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePayload(Payload):
    """A device after a change."""

    device: ListedDevice | None = None


@query.field("devices")
async def resolve_devices(
    _: Any, info: Info, *, first: int, after: str | None, tenant_slug: str | None, search: str | None
) -> Connection[ListedDevice]:
    """A page of devices, newest first."""
    asked, ctx = Slice.asked(first, after), info.context.ctx
    filters: dict[str, Any] = {"tenant_slug": seen_slug(ctx, tenant_slug), "search": search or ""}
    page = await list_devices(ctx, **filters, is_newest_first=True, page_size=asked.wanted, after=asked.place_by_id)
    return asked.connection(page.rows, by_id, page.total)


@query.field("device")
async def resolve_device(_: Any, info: Info, *, id: str) -> ListedDevice | None:  # noqa: A002 - the argument's name
    """One device."""
    return await info.context.loaders.licensing.devices.load(row_id(id))


@device.field("tenant")
async def resolve_tenant(of: ListedDevice, info: Info) -> TenantDetails | None:
    """Whose it is."""
    return await info.context.loaders.licensing.tenants.load(of.tenant_slug)


@mutation.field("revokeDevice")
@changing(DevicePayload)
async def resolve_revoke_device(_: Any, info: Info, *, id: str) -> DevicePayload:  # noqa: A002 - the argument's name
    """Revoke a device."""
    return await _changed(info, id, revoke_device_by_id)


@mutation.field("releaseDevice")
@changing(DevicePayload)
async def resolve_release_device(_: Any, info: Info, *, id: str) -> DevicePayload:  # noqa: A002 - the argument's name
    """Release a device."""
    return await _changed(info, id, release_device_by_id)


@mutation.field("reinstateDevice")
@changing(DevicePayload)
async def resolve_reinstate_device(_: Any, info: Info, *, id: str) -> DevicePayload:  # noqa: A002 - the argument's name
    """Reinstate a device."""
    return await _changed(info, id, reinstate_device_by_id)


async def _changed(
    info: Info,
    id: str,  # noqa: A002 - the argument's name
    change: Callable[[Context, int], Awaitable[object]],
) -> DevicePayload:
    """The device once it was changed."""
    device_id = row_id(id)
    await change(info.context.ctx, device_id)
    return DevicePayload(device=await info.context.loaders.licensing.devices.load(device_id))
