"""Devices, from the command line."""

from __future__ import annotations

from dataclasses import asdict

from app.commands.output import answer, table
from app.commands.parameters import AsJson, DeviceId, TenantSlug
from app.commands.session import operating
from app.services.licensing import devices
from app.services.licensing.devices import Device

PAGE = 500


async def list_devices(*, tenant: TenantSlug, as_json: AsJson = False) -> None:
    """List a tenant's devices, newest first."""
    all_devices: list[Device] = []
    async with operating() as ctx:
        page = await devices.list_devices(ctx, tenant, page_size=PAGE)
        while page:
            all_devices += page
            page = await devices.list_devices(ctx, tenant, before_id=all_devices[-1].id, page_size=PAGE)
    columns = ("id", "fingerprint", "state", "last seen (UTC)", "enrolled (UTC)", "label")
    rows = [
        (
            device.id,
            device.hw_fingerprint[:12],
            "revoked" if device.is_revoked else "active",
            f"{device.last_seen:%Y-%m-%d %H:%M}",
            f"{device.created_at:%Y-%m-%d %H:%M}",
            device.label,
        )
        for device in all_devices
    ]
    output = (
        table(columns, rows)
        if rows
        else f"No devices yet: activate one with a code of portal gen-codes --tenant {tenant}"
    )
    answer(as_json, {"devices": [asdict(device) for device in all_devices]}, output)


async def revoke_device(*, tenant: TenantSlug, device: DeviceId, as_json: AsJson = False) -> None:
    """Refuse a device from its next request on, and free its seat."""
    async with operating() as ctx:
        is_new = await devices.revoke_device(ctx, tenant, device)
    change = "updated" if is_new else "unchanged"
    message = (
        f"Device {device} of {tenant} is revoked." if is_new else f"Device {device} of {tenant} was revoked before."
    )
    answer(as_json, {"id": device, "tenant": tenant, "is_revoked": True, "change": change}, message)
