"""Clones: copies of a device that go on with tokens which a later activation of the same hardware has ended."""

from __future__ import annotations

from contextlib import suppress

from app.context import Context
from app.events import Event, EventType, record
from app.services.licensing.enrollment import GuardRefusedError
from sql.statements import licensing


async def count_clone(ctx: Context, family_id: str) -> None:
    """Note of the device that asks that a family of its tokens came back after it had ended; each counts once."""
    with suppress(GuardRefusedError):
        await _count(ctx, family_id)


async def _count(ctx: Context, family_id: str) -> None:
    """Count the family; raises GuardRefusedError where somebody else counts it at this moment."""
    tenant_id, device_id = ctx.device
    of_family = {"of_tenant_id": tenant_id, "family_id": family_id}
    title = f"Device {device_id} is there more than once: tokens that its last activation had ended were used"
    async with ctx.write() as conn:
        if not await conn.affected(licensing.count_clone, **of_family, device_id=device_id):
            return
        if not await conn.affected(licensing.family_came_back, **of_family, now=ctx.now()):
            raise GuardRefusedError
        await record(conn, ctx, Event(EventType.DEVICE_CLONED, title, tenant_id=tenant_id, device_id=device_id))
