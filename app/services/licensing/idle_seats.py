"""Silent devices give their seats back, where a plan says after how many days, in batches of one tenant each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Context
from app.errors import RowLockedError, TenantNotFoundError
from app.events import Event, EventType, record
from app.services.directory.lookup import lock_tenant
from sql.statements import idle_seats as statements

BATCH_SIZE = 200
PAGE_SIZE = 200


class _Plan(NamedTuple):
    id: int
    device_idle_days: int


class _Tenant(NamedTuple):
    id: int
    slug: str


async def free_idle_seats(ctx: Context) -> Mapping[str, object]:
    """Free the seats of devices that have been silent for as many days as their tenant's plan says."""
    freed = 0
    async with ctx.read() as conn:
        plans = await conn.many(statements.plans_with_idle_days, _Plan)
    for plan in plans:
        seen_since, after_id = ctx.now() - timedelta(days=plan.device_idle_days), 0
        while True:
            values = {"plan_id": plan.id, "seen_since": seen_since, "after_id": after_id, "page_size": PAGE_SIZE}
            async with ctx.read() as conn:
                tenants = await conn.many(statements.tenants_with_idle_devices, _Tenant, **values)
            for tenant in tenants:
                freed += await _free_all(ctx, tenant.slug, seen_since)
            if len(tenants) < PAGE_SIZE:
                break
            after_id = tenants[-1].id
    return {"freed_seats": freed}


async def _free_all(ctx: Context, tenant_slug: str, seen_since: datetime) -> int:
    """Free the seats of one tenant; answers how many. While somebody has locked its row, the rest waits for a turn."""
    freed = 0
    with contextlib.suppress(RowLockedError):
        while number := await _free_batch(ctx, tenant_slug, seen_since):
            freed += number
    return freed


async def _free_batch(ctx: Context, tenant_slug: str, seen_since: datetime) -> int:
    """Free up to ``BATCH_SIZE`` seats of the tenant; answers how many. None of a tenant that was deleted meanwhile."""
    async with ctx.write() as conn:
        try:
            tenant = await lock_tenant(conn, tenant_slug)
        except TenantNotFoundError:
            return 0
        values = {"of_tenant_id": tenant.id, "seen_since": seen_since, "batch_size": BATCH_SIZE}
        silent = await conn.rows(statements.free_idle_devices, **values)
        if not silent:
            return 0
        events = [
            Event(
                EventType.DEVICE_IDLE,
                f"Device {device_id} of {tenant.name} lost its seat by silence",
                tenant_id=tenant.id,
                device_id=device_id,
            )
            for (device_id,) in silent
        ]
        await record(conn, ctx, *events)
        await conn.affected(statements.free_seats, of_tenant_id=tenant.id, freed=len(silent))
    return len(silent)
