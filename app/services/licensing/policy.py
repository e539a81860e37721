"""Who a device is and what its tenant's subscription grants, read anew for every request and shared by a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors import DeviceAccessRevokedError, DeviceIdleError, DeviceReleasedError, DeviceUnknownError
from app.runtime import Coalesced, Runtime
from sql.statements import licensing


class DevicePolicy(NamedTuple):
    """A device, its tenant, and what the plan grants; without a subscription the plan's fields are None.

    A tuple, because one is made for every request of every device.
    """

    tenant_id: int
    device_id: int
    is_revoked: bool
    seat_held: bool
    released_at: datetime | None
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


async def device_policy(ctx: Context) -> DevicePolicy:
    """The device that asks and what it may do.

    Raises DeviceUnknownError, DeviceAccessRevokedError, DeviceReleasedError or DeviceIdleError.
    """
    row = await ctx.runtime.coalescer(DEVICE_POLICIES).ask(ctx.device)
    if row is None:
        raise DeviceUnknownError
    if row.is_revoked:
        raise DeviceAccessRevokedError
    if not row.seat_held:
        raise DeviceIdleError if row.released_at is None else DeviceReleasedError
    return row


async def policy(ctx: Context) -> Policy:
    """The policy of the device that asks, in every state of the subscription."""
    row = await device_policy(ctx)
    return Policy(row.plan_name, row.monthly_run_quota or 0, row.subscription_state or "none")


async def _read(runtime: Runtime, keys: Sequence[tuple[int, int]]) -> list[DevicePolicy | None]:
    batch = as_batch([{"tenant_id": tenant_id, "device_id": device_id} for tenant_id, device_id in keys])
    async with runtime.db.read() as conn:
        rows = await conn.many(licensing.device_standings, DevicePolicy, batch=batch)
    row_of = {(row.tenant_id, row.device_id): row for row in rows}
    return [row_of.get(key) for key in keys]


DEVICE_POLICIES = Coalesced("device_policy", _read)
