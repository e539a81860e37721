"""Revoking a device, which frees its seat."""

from __future__ import annotations

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import DeviceNotFoundError
from app.events import Event, EventType, record
from app.services.directory.lookup import lock_tenant
from sql.lists import device_list
from sql.statements import billing, licensing


async def revoke_device(ctx: Context, tenant_slug: str, device_id: int) -> bool:
    """Refuse the device from its next request on, and free its seat; False if it was revoked before.

    Raises TenantNotFoundError or DeviceNotFoundError.
    """
    async with ctx.write() as conn:
        return await _revoke(conn, ctx, tenant_slug, device_id)


async def revoke_device_by_id(ctx: Context, device_id: int) -> bool:
    """Refuse a device of any tenant, as ``revoke_device`` does; raises DeviceNotFoundError."""
    async with ctx.write() as conn:
        tenant_slug = await conn.maybe(device_list.slug_of_device, str, device_id=device_id)
        if tenant_slug is None:
            raise DeviceNotFoundError(device_id=device_id)
        return await _revoke(conn, ctx, tenant_slug, device_id)


async def _revoke(conn: WriteConnection, ctx: Context, tenant_slug: str, device_id: int) -> bool:
    tenant = await lock_tenant(conn, tenant_slug)
    if not await conn.affected(licensing.revoke_device, of_tenant_id=tenant.id, device_id=device_id):
        if await conn.maybe(licensing.device_exists, int, tenant_id=tenant.id, device_id=device_id) is None:
            raise DeviceNotFoundError(device_id=device_id)
        return False
    now = ctx.now()
    await conn.affected(
        licensing.revoke_refresh_families_of_device, of_tenant_id=tenant.id, of_device_id=device_id, now=now
    )
    await conn.affected(billing.free_seat, of_tenant_id=tenant.id)
    title = f"Device {device_id} of {tenant.name} revoked"
    await record(conn, ctx, Event(EventType.DEVICE_REVOKED, title, tenant_id=tenant.id, device_id=device_id))
    return True
