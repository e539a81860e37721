"""Activation: a code binds a device, in one transaction that takes everything it needs or nothing.

The happy path is five guarded changes: the code's use, the device, its refresh family, the events, the seat. Each
guard is one conditional statement, so that parallel activations can never pass a limit. Only when a guard refuses,
the situation is read and a pure rule says why; a rule that finds nothing wrong has met a race, and the activation is
tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app import metrics
from app.context import Context
from app.db import WriteConnection
from app.errors import (
    CodeExpiredError,
    CodeRevokedError,
    CodeUnknownError,
    CodeUsedUpError,
    DeviceLimitReachedError,
    DeviceRevokedError,
    OverloadedError,
    PortalError,
    TenantNotFoundError,
)
from app.events import Event, EventType, record
from app.keys import fingerprint_hash
from app.services.billing.allowance import may
from app.services.licensing import codes
from app.services.licensing.token_pairs import Entitlements, RefreshToken, TokenPair, new_refresh_token, token_pair
from app.verdict import ALLOWED, Verdict
from sql.statements import billing, licensing

# Races resolve at the second try; more would mean that guard and rule disagree.
TRIES = 5
NO_CODE = b""


@dataclass(frozen=True, slots=True)
class Application:
    """Who wants to activate what, with the secrets already hashed."""

    tenant_slug: str
    code_hash: bytes
    hw_fingerprint: str


@dataclass(frozen=True, slots=True)
class ClaimedCode:
    """A code whose guard let the device pass; ``device_id`` if the hardware is known."""

    id: int
    tenant_id: int
    hint: str
    device_id: int | None
    is_bound: bool


@dataclass(frozen=True, slots=True)
class GrantedSeat:
    """What the subscription grants to the device."""

    state: str
    plan_name: str
    monthly_run_quota: int


@dataclass(frozen=True, slots=True)
class NewDevice:
    """The row of a device that was just stored."""

    id: int


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides about an activation, for explaining a refusal."""

    tenant_id: int
    subscription_state: str | None
    seats_used: int | None
    plan_name: str | None
    max_devices: int | None
    code_id: int | None
    code_revoked_at: datetime | None
    code_expires_at: datetime | None
    use_count: int | None
    max_uses: int | None
    device_id: int | None
    device_is_revoked: bool | None
    device_code_id: int | None


class _GuardRefusedError(Exception):
    """Rolls the transaction back; the reason is found afterwards."""


async def activate(ctx: Context, tenant_slug: str, activation_code: str, hw_fingerprint: str) -> TokenPair:
    """Bind a device to a tenant with a code and hand out its tokens.

    A device that was bound by this code activates again without a further use, because a lost answer must not cost
    a customer a code; a known device that shows another code uses that one and keeps its seat. Raises
    TenantNotFoundError, a CodeError or a DeniedError, each saying what would free the device.
    """
    address = ctx.address or "unknown"
    await ctx.runtime.rate_limits.check_guessing(address)
    code = codes.normalize(activation_code)
    applied = Application(
        tenant_slug,
        NO_CODE if code is None else ctx.runtime.keys.code_hash(code),
        fingerprint_hash(hw_fingerprint),
    )
    try:
        pair = await _decide(ctx, applied)
    except PortalError as denial:
        metrics.activations.labels(denial.code).inc()
        if isinstance(denial, CodeUnknownError):
            await ctx.runtime.rate_limits.count_unknown_code(address)
        raise
    metrics.activations.labels("activated").inc()
    return pair


def judge(situation: Situation | None, applied: Application, now: datetime) -> Verdict:  # noqa: PLR0911 - one a rule
    """Why this activation is refused, or ALLOWED if nothing stands against it."""
    if situation is None:
        return Verdict(TenantNotFoundError, {"slug": applied.tenant_slug})
    if situation.code_id is None:
        return Verdict(CodeUnknownError)
    if situation.code_revoked_at is not None:
        return Verdict(CodeRevokedError)
    if situation.device_is_revoked:
        return Verdict(DeviceRevokedError)
    if not (verdict := may("activate_device", situation.subscription_state)).allowed:
        return verdict
    if situation.device_code_id == situation.code_id:
        return ALLOWED
    if situation.code_expires_at is not None and situation.code_expires_at <= now:
        return Verdict(CodeExpiredError, {"expires_at": situation.code_expires_at.isoformat()})
    if situation.use_count == situation.max_uses:
        return Verdict(CodeUsedUpError, {"use_count": situation.use_count, "max_uses": situation.max_uses})
    is_full = situation.max_devices is not None and (situation.seats_used or 0) >= situation.max_devices
    if situation.device_id is None and is_full:
        return Verdict(DeviceLimitReachedError, {"plan": situation.plan_name, "max_devices": situation.max_devices})
    return ALLOWED


async def _decide(ctx: Context, applied: Application) -> TokenPair:
    for _ in range(TRIES):
        now = ctx.runtime.clock.now()
        try:
            async with ctx.runtime.db.write() as conn:
                claimed, device_id, refresh_token, seat = await _take(conn, ctx, applied, now)
        except _GuardRefusedError:
            async with ctx.runtime.db.read() as reader:
                situation = await reader.maybe(
                    licensing.activation_situation,
                    Situation,
                    tenant_slug=applied.tenant_slug,
                    code_hash=applied.code_hash,
                    hw_fingerprint=applied.hw_fingerprint,
                )
            judge(situation, applied, now).enforce()
        else:
            granted = Entitlements(seat.plan_name, seat.monthly_run_quota, seat.state)
            return token_pair(ctx, claimed.tenant_id, device_id, refresh_token, granted)
    raise OverloadedError


async def _take(
    conn: WriteConnection, ctx: Context, applied: Application, now: datetime
) -> tuple[ClaimedCode, int, RefreshToken, GrantedSeat]:
    """Take the code's use, the device and the seat, the most contended row last; raises when a guard refuses."""
    claimed = await conn.maybe(
        licensing.claim_code,
        ClaimedCode,
        tenant_slug=applied.tenant_slug,
        of_code_hash=applied.code_hash,
        hw_fingerprint=applied.hw_fingerprint,
        now=now,
    )
    if claimed is None:
        raise _GuardRefusedError
    device_id = claimed.device_id or await _enroll(conn, claimed, applied, now)
    if claimed.device_id is not None and not claimed.is_bound:
        bound = {"of_tenant_id": claimed.tenant_id, "device_id": device_id, "code_id": claimed.id, "now": now}
        if not await conn.affected(licensing.bind_device, **bound):
            raise _GuardRefusedError
    refresh_token = new_refresh_token(ctx.runtime.keys)
    await conn.affected(
        licensing.insert_refresh_family,
        id=refresh_token.family_id,
        tenant_id=claimed.tenant_id,
        device_id=device_id,
        token_hash=ctx.runtime.keys.refresh_token_hash(refresh_token.text),
        expires_at=now + timedelta(seconds=ctx.runtime.settings.refresh_token_seconds),
        created_at=now,
    )
    await record(conn, ctx, *_events(claimed, device_id))
    seats = 1 if claimed.device_id is None else 0
    seat = await conn.maybe(billing.take_seats, GrantedSeat, of_tenant_id=claimed.tenant_id, seats=seats)
    if seat is None:
        raise _GuardRefusedError
    return claimed, device_id, refresh_token, seat


async def _enroll(conn: WriteConnection, claimed: ClaimedCode, applied: Application, now: datetime) -> int:
    stored = await conn.maybe(
        licensing.insert_device,
        NewDevice,
        tenant_id=claimed.tenant_id,
        hw_fingerprint=applied.hw_fingerprint,
        activation_code_id=claimed.id,
        last_seen=now,
        created_at=now,
    )
    if stored is None:
        raise _GuardRefusedError
    return stored.id


def _events(claimed: ClaimedCode, device_id: int) -> list[Event]:
    def about(kind: EventType, title: str) -> Event:
        return Event(kind, title, tenant_id=claimed.tenant_id, code_id=claimed.id, device_id=device_id)

    if claimed.is_bound:
        return [about(EventType.DEVICE_REACTIVATED, f"Device {device_id} activated again")]
    used = about(EventType.CODE_ACTIVATED, f"Code …{claimed.hint} activated device {device_id}")
    if claimed.device_id is not None:
        return [used]
    return [used, about(EventType.DEVICE_ENROLLED, f"Device {device_id} enrolled")]
