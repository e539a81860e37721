"""One code or one device of a tenant, as it is shown before something is done to it."""

from __future__ import annotations

from app.context import Context
from app.errors import CodeNotFoundError, DeviceNotFoundError
from app.services.licensing.codes import NEWEST_FIRST, ActivationCode, list_codes
from app.services.licensing.devices import Device, list_devices


async def code_of_tenant(ctx: Context, tenant_slug: str, code_id: int) -> ActivationCode:
    """The tenant's code with this id; raises TenantNotFoundError or CodeNotFoundError."""
    codes = await list_codes(ctx, tenant_slug, before_id=_after(code_id), page_size=1)
    if not codes or codes[0].id != code_id:
        raise CodeNotFoundError
    return codes[0]


async def device_of_tenant(ctx: Context, tenant_slug: str, device_id: int) -> Device:
    """The tenant's device with this id; raises TenantNotFoundError or DeviceNotFoundError."""
    devices = await list_devices(ctx, tenant_slug, before_id=_after(device_id), page_size=1)
    if not devices or devices[0].id != device_id:
        raise DeviceNotFoundError(device_id=device_id)
    return devices[0]


def _after(row_id: int) -> int:
    """Lists go down from an id that is not in them; no row has one as large as the bound."""
    return min(row_id + 1, NEWEST_FIRST)
