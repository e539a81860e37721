"""Who a device is and what its tenant's subscription grants, read anew for every request and shared by a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors import DeviceAccessRevokedError, DeviceUnknownError
from app.runtime import Coalesced, Runtime
from sql.statements import licensing


class Standing(NamedTuple):
    """A device, its tenant, and the plan; without a subscription the plan's fields are None.

    A tuple, because one is made for every request of every device.
    """

    tenant_id: int
    device_id: int
    is_revoked: bool
    tenant_slug: str
    plan_name: str | None
    monthly_run_quota: int | None
    subscription_state: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a device may do; ``subscription_state`` is ``none`` without a subscription."""

    plan_name: str | None
    monthly_run_quota: int
    subscription_state: str


async def standing(ctx: Context) -> Standing:
    """The standing of the device that asks; raises DeviceUnknownError or DeviceAccessRevokedError."""
    found = await ctx.runtime.coalescer(STANDINGS).ask(ctx.device)
    if found is None:
        raise DeviceUnknownError
    if found.is_revoked:
        raise DeviceAccessRevokedError
    return found


async def policy(ctx: Context) -> Policy:
    """The policy of the device that asks, in every state of the subscription."""
    found = await standing(ctx)
    return Policy(found.plan_name, found.monthly_run_quota or 0, found.subscription_state or "none")


async def _read(runtime: Runtime, asked: Sequence[tuple[int, int]]) -> list[Standing | None]:
    batch = as_batch([{"tenant_id": tenant_id, "device_id": device_id} for tenant_id, device_id in asked])
    async with runtime.db.read() as conn:
        rows = await conn.many(licensing.device_standings, Standing, batch=batch)
    found = {(row.tenant_id, row.device_id): row for row in rows}
    return [found.get(key) for key in asked]


STANDINGS = Coalesced("standing", _read)
