"""Devices, from the command line."""

from __future__ import annotations

from functools import partial

from app.commands.output import answer, table
from app.commands.pages import all_rows
from app.commands.parameters import AsJson, DeviceId, TenantSlug
from app.commands.session import operating
from app.context import Context
from app.services.directory.lookup import tenant_named
from app.services.figures.totals import Page
from app.services.licensing import device_list
from app.services.licensing import devices as licensed
from app.services.licensing.device_list import ListedDevice

# What is printed with --json.
MEMBERS = ("id", "label", "hw_fingerprint", "is_revoked", "has_seat", "clone_count", "last_seen", "created_at")


async def list_devices(*, tenant: TenantSlug, as_json: AsJson = False) -> None:
    """List a tenant's devices, newest first."""
    async with operating() as ctx:
        await tenant_named(ctx, tenant)
        devices = await all_rows(partial(_page, ctx, tenant))
    columns = ("id", "fingerprint", "state", "clones", "last seen (UTC)", "enrolled (UTC)", "label")
    rows = [
        (
            device.id,
            device.hw_fingerprint[:12],
            _state(device),
            device.clone_count,
            f"{device.last_seen:%Y-%m-%d %H:%M}",
            f"{device.created_at:%Y-%m-%d %H:%M}",
            device.label,
        )
        for device in devices
    ]
    output = (
        table(columns, rows)
        if rows
        else f"No devices yet: activate one with a code of portal gen-codes --tenant {tenant}"
    )
    answer(as_json, {"devices": [{name: getattr(device, name) for name in MEMBERS} for device in devices]}, output)


async def revoke_device(*, tenant: TenantSlug, device: DeviceId, as_json: AsJson = False) -> None:
    """Refuse a device from its next request on, and free its seat."""
    async with operating() as ctx:
        is_new = await licensed.revoke_device(ctx, tenant, device)
    change = "updated" if is_new else "unchanged"
    message = (
        f"Device {device} of {tenant} is revoked." if is_new else f"Device {device} of {tenant} was revoked before."
    )
    answer(as_json, {"id": device, "tenant": tenant, "is_revoked": True, "change": change}, message)


async def release_device(*, tenant: TenantSlug, device: DeviceId, as_json: AsJson = False) -> None:
    """Free a device's seat; the device is refused until it is activated again."""
    async with operating() as ctx:
        is_new = await licensed.release_device(ctx, tenant, device)
    message = f"Device {device} of {tenant} {'is released' if is_new else 'held no seat before'}."
    change = "updated" if is_new else "unchanged"
    answer(as_json, {"id": device, "tenant": tenant, "has_seat": False, "change": change}, message)


async def reinstate_device(*, tenant: TenantSlug, device: DeviceId, as_json: AsJson = False) -> None:
    """Let a revoked device be activated again."""
    async with operating() as ctx:
        is_new = await licensed.reinstate_device(ctx, tenant, device)
    message = f"Device {device} of {tenant} {'may be activated again' if is_new else 'was not revoked'}."
    change = "updated" if is_new else "unchanged"
    answer(as_json, {"id": device, "tenant": tenant, "is_revoked": False, "change": change}, message)


def _state(device: ListedDevice) -> str:
    if device.is_revoked:
        return "revoked"
    return "active" if device.has_seat else "released"


async def _page(ctx: Context, tenant: str, number: int, size: int) -> Page[ListedDevice]:
    return await device_list.list_devices(ctx, tenant_slug=tenant, is_newest_first=True, page=number, page_size=size)
