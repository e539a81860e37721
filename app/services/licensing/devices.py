"""Releasing, revoking and reinstating devices: who holds a seat, and who is refused for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import DeviceNotFoundError, RevokingNotAllowedError
from app.events import Event, EventType, record
from app.services.directory.lookup import Tenant, lock_tenant
from sql.lists import device_list
from sql.statements import billing, licensing

Change = Callable[[WriteConnection, Context, Tenant, int], Awaitable[bool]]


async def release_device(ctx: Context, tenant_slug: str, device_id: int) -> bool:
    """Free the device's seat; False if that was done before, or if the device is revoked.

    It is refused from its next request on, until it is activated again. Raises TenantNotFoundError or
    DeviceNotFoundError.
    """
    return await _change(ctx, _release, device_id, tenant_slug)


async def revoke_device(ctx: Context, tenant_slug: str, device_id: int) -> bool:
    """Refuse the device from its next request on, and free its seat; False if it was revoked before.

    Raises TenantNotFoundError or DeviceNotFoundError.
    """
    return await _change(ctx, _revoke, device_id, tenant_slug)


async def reinstate_device(ctx: Context, tenant_slug: str, device_id: int) -> bool:
    """Let a revoked device activate again, if there is a seat by then; False if it is not revoked.

    Raises TenantNotFoundError or DeviceNotFoundError.
    """
    return await _change(ctx, _reinstate, device_id, tenant_slug)


async def release_device_by_id(ctx: Context, device_id: int) -> bool:
    """Free the seat of a device of any tenant, as ``release_device`` does; raises DeviceNotFoundError."""
    return await _change(ctx, _release, device_id)


async def revoke_device_by_id(ctx: Context, device_id: int) -> bool:
    """Refuse a device of any tenant, as ``revoke_device`` does; raises DeviceNotFoundError."""
    return await _change(ctx, _revoke, device_id)


async def reinstate_device_by_id(ctx: Context, device_id: int) -> bool:
    """Let a device of any tenant activate again, as ``reinstate_device`` does; raises DeviceNotFoundError."""
    return await _change(ctx, _reinstate, device_id)


async def revoke_own_device(ctx: Context, device_id: int) -> bool:
    """Revoke a device of the tenant whose session asks.

    Raises RevokingNotAllowedError unless the tenant's plan lets it, DeviceNotFoundError.
    """
    async with ctx.write() as conn:
        tenant = await lock_tenant(conn, ctx.tenant_slug)
        if not await conn.maybe(billing.may_revoke, int, tenant_id=tenant.id):
            raise RevokingNotAllowedError
        return await _revoke(conn, ctx, tenant, device_id)


async def deactivate(ctx: Context) -> bool:
    """Free the seat of the device that asks; False if that was done before."""
    tenant_id, device_id = ctx.device
    async with ctx.write() as conn:
        tenant_slug = await conn.maybe(device_list.slug_of_device, str, device_id=device_id)
        if tenant_slug is None:
            raise DeviceNotFoundError(device_id=device_id)
        tenant = await lock_tenant(conn, tenant_slug)
        if tenant.id != tenant_id:
            raise DeviceNotFoundError(device_id=device_id)
        return await _release(conn, ctx, tenant, device_id)


async def _change(ctx: Context, change: Change, device_id: int, tenant_slug: str | None = None) -> bool:
    async with ctx.write() as conn:
        if tenant_slug is None:
            tenant_slug = await conn.maybe(device_list.slug_of_device, str, device_id=device_id)
        if tenant_slug is None:
            raise DeviceNotFoundError(device_id=device_id)
        return await change(conn, ctx, await lock_tenant(conn, tenant_slug), device_id)


async def _release(conn: WriteConnection, ctx: Context, tenant: Tenant, device_id: int) -> bool:
    held = await conn.affected(licensing.give_seat_back, of_tenant_id=tenant.id, device_id=device_id)
    own = {"of_tenant_id": tenant.id, "device_id": device_id}
    if not await conn.affected(licensing.release_device, **own, now=ctx.now()):
        return await _unchanged(conn, tenant, device_id)
    await _end_families(conn, ctx, tenant, device_id)
    title = _title(tenant, device_id, "released")
    await record(conn, ctx, Event(EventType.DEVICE_RELEASED, title, tenant_id=tenant.id, device_id=device_id))
    return await _freed(conn, tenant, held)


async def _revoke(conn: WriteConnection, ctx: Context, tenant: Tenant, device_id: int) -> bool:
    held = await conn.affected(licensing.give_seat_back, of_tenant_id=tenant.id, device_id=device_id)
    if not await conn.affected(licensing.revoke_device, of_tenant_id=tenant.id, device_id=device_id):
        return await _unchanged(conn, tenant, device_id)
    await _end_families(conn, ctx, tenant, device_id)
    title = _title(tenant, device_id, "revoked")
    await record(conn, ctx, Event(EventType.DEVICE_REVOKED, title, tenant_id=tenant.id, device_id=device_id))
    return await _freed(conn, tenant, held)


async def _reinstate(conn: WriteConnection, ctx: Context, tenant: Tenant, device_id: int) -> bool:
    own = {"of_tenant_id": tenant.id, "device_id": device_id}
    if not await conn.affected(licensing.reinstate_device, **own, now=ctx.now()):
        return await _unchanged(conn, tenant, device_id)
    title = _title(tenant, device_id, "reinstated")
    await record(conn, ctx, Event(EventType.DEVICE_REINSTATED, title, tenant_id=tenant.id, device_id=device_id))
    return True


async def _freed(conn: WriteConnection, tenant: Tenant, held: int) -> bool:
    """Free the seat that the device held; last, as whoever takes a seat does, so that nobody waits in a circle."""
    if held:
        await conn.affected(billing.free_seat, of_tenant_id=tenant.id)
    return True


async def _end_families(conn: WriteConnection, ctx: Context, tenant: Tenant, device_id: int) -> None:
    own = {"of_tenant_id": tenant.id, "of_device_id": device_id}
    await conn.affected(licensing.revoke_refresh_families_of_device, **own, now=ctx.now())


async def _unchanged(conn: WriteConnection, tenant: Tenant, device_id: int) -> bool:
    """False; raises DeviceNotFoundError where the tenant has no such device."""
    if await conn.maybe(licensing.device_exists, int, tenant_id=tenant.id, device_id=device_id) is None:
        raise DeviceNotFoundError(device_id=device_id)
    return False


def _title(tenant: Tenant, device_id: int, what: str) -> str:
    return f"Device {device_id} of {tenant.name} {what}"
