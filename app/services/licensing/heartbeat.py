"""Heartbeats: the moment a device was last seen, acknowledged once it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors import FingerprintMismatchError
from app.runtime import Coalesced, Runtime
from app.services.licensing.fingerprints import read_fingerprint, store_as_normal
from app.services.licensing.policy import device_policy
from sql.statements import licensing


class Beat(NamedTuple):
    """One device that says it is alive; a tuple, because it is compared with the rows that come back."""

    tenant_id: int
    device_id: int
    hw_fingerprint: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The acknowledgement."""

    ok: bool = True


ACKNOWLEDGED = Heartbeat()


async def heartbeat(ctx: Context, hw_fingerprint: str) -> Heartbeat:
    """Store that the device is alive.

    Raises what ``device_policy`` raises, or FingerprintMismatchError when the hardware is not the activated one.
    """
    tenant_id, device_id = ctx.device
    fingerprint, beats = read_fingerprint(hw_fingerprint), ctx.runtime.coalescer(HEARTBEATS)
    if await beats.ask(Beat(tenant_id, device_id, fingerprint.hash)):
        return ACKNOWLEDGED
    if not fingerprint.is_normal:
        is_normal_now = await store_as_normal(ctx, tenant_id, device_id, fingerprint)
        stored = fingerprint.hash if is_normal_now else fingerprint.raw_hash
        if await beats.ask(Beat(tenant_id, device_id, stored)):
            return ACKNOWLEDGED
    await device_policy(ctx)
    raise FingerprintMismatchError


async def _record(runtime: Runtime, beating: Sequence[Beat]) -> list[bool]:
    """Store the beats and answer which of them were stored; whoever is refused asks for the reason alone."""
    async with runtime.db.write_autocommit() as conn:
        batch = as_batch(
            [
                {"tenant_id": tenant_id, "device_id": device_id, "hw_fingerprint": hw_fingerprint}
                for tenant_id, device_id, hw_fingerprint in set(beating)
            ]
        )
        rows = await conn.rows(licensing.record_heartbeats, batch=batch, now=runtime.clock.now())
    stored = {tuple(row) for row in rows}
    return [beat in stored for beat in beating]


# One lane: half as many statements, each for twice as many devices, was faster than two.
HEARTBEATS = Coalesced("heartbeat", _record, lanes=1, owner=lambda beat: beat.tenant_id)
