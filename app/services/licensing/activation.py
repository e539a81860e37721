"""Activation: a code binds a device, in one transaction that takes everything it needs or nothing.

A first activation is five changes: the code's use, the device, its refresh family, the events, the seat. Each guard
is one conditional statement, so that parallel activations can never pass a limit. Only when a guard refuses, the
situation is read and a pure rule says why; where it finds nothing wrong, the hardware is known or a race was lost, and
the activation is tried again with what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """A code of which this activation has taken a use."""

    id: int
    tenant_id: int
    hint: str


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
    """All that decides about an activation, for explaining a refusal and for a device that is known."""

    tenant_id: int
    subscription_state: str | None
    seats_used: int | None
    plan_name: str | None
    max_devices: int | None
    monthly_run_quota: int | None
    code_id: int | None
    code_hint: str | None
    code_revoked_at: datetime | None
    code_expires_at: datetime | None
    use_count: int | None
    max_uses: int | None
    device_id: int | None
    device_is_revoked: bool | None
    device_code_id: int | None

    @property
    def is_bound(self) -> bool:
        """Whether the device was bound by this very code."""
        return self.device_id is not None and self.device_code_id == self.code_id


# The tenant, the device, its refresh token, and what the plan grants.
Admission = tuple[int, int, RefreshToken, Entitlements]


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
    if situation.is_bound:
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
    """Try as unknown hardware first; where a guard refuses, look, explain, and try again with what was seen."""
    situation: Situation | None = None
    for _ in range(TRIES):
        now = ctx.runtime.clock.now()
        try:
            async with ctx.runtime.db.write() as conn:
                if situation is None or situation.device_id is None:
                    tenant_id, device_id, tokens, granted = await _admit_new(conn, ctx, applied, now)
                else:
                    tenant_id, device_id, tokens, granted = await _admit_known(conn, ctx, applied, situation, now)
        except _GuardRefusedError:
            situation = await _look(ctx, applied)
            judge(situation, applied, now).enforce()
        else:
            return token_pair(ctx, tenant_id, device_id, tokens, granted)
    raise OverloadedError


async def _look(ctx: Context, applied: Application) -> Situation | None:
    async with ctx.runtime.db.read() as conn:
        return await conn.maybe(
            licensing.activation_situation,
            Situation,
            tenant_slug=applied.tenant_slug,
            code_hash=applied.code_hash,
            hw_fingerprint=applied.hw_fingerprint,
        )


async def _admit_new(conn: WriteConnection, ctx: Context, applied: Application, now: datetime) -> Admission:
    """Take the code's use, the device and the seat, the most contended row last; raises when a guard refuses."""
    claimed = await _claim(conn, applied, now, is_known=False)
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
    tokens = await _open_family(conn, ctx, claimed.tenant_id, stored.id, now)
    used = _used(claimed.tenant_id, claimed.id, claimed.hint, stored.id)
    enrolled = replace(used, type=EventType.DEVICE_ENROLLED, title=f"Device {stored.id} enrolled")
    await record(conn, ctx, used, enrolled)
    seat = await conn.maybe(billing.take_seat, GrantedSeat, of_tenant_id=claimed.tenant_id)
    if seat is None:
        raise _GuardRefusedError
    granted = Entitlements(seat.plan_name, seat.monthly_run_quota, seat.state)
    return claimed.tenant_id, stored.id, tokens, granted


async def _admit_known(
    conn: WriteConnection, ctx: Context, applied: Application, situation: Situation, now: datetime
) -> Admission:
    """Admit a device that has its seat: with the code that bound it as it is, with another one for a use of that."""
    if situation.device_id is None or situation.code_id is None:
        raise _GuardRefusedError
    if not situation.is_bound:
        await _claim(conn, applied, now, is_known=True)
    bound = await conn.affected(
        licensing.bind_device,
        of_tenant_id=situation.tenant_id,
        device_id=situation.device_id,
        from_code_id=situation.device_code_id,
        code_id=situation.code_id,
        now=now,
    )
    if not bound:
        raise _GuardRefusedError
    tokens = await _open_family(conn, ctx, situation.tenant_id, situation.device_id, now)
    event = _used(situation.tenant_id, situation.code_id, situation.code_hint or "", situation.device_id)
    if situation.is_bound:
        title = f"Device {situation.device_id} activated again"
        event = replace(event, type=EventType.DEVICE_REACTIVATED, title=title)
    await record(conn, ctx, event)
    granted = Entitlements(situation.plan_name, situation.monthly_run_quota or 0, situation.subscription_state)
    return situation.tenant_id, situation.device_id, tokens, granted


async def _claim(conn: WriteConnection, applied: Application, now: datetime, *, is_known: bool) -> ClaimedCode:
    claimed = await conn.maybe(
        licensing.claim_code,
        ClaimedCode,
        tenant_slug=applied.tenant_slug,
        of_code_hash=applied.code_hash,
        hw_fingerprint=applied.hw_fingerprint,
        is_known=is_known,
        now=now,
    )
    if claimed is None:
        raise _GuardRefusedError
    return claimed


async def _open_family(
    conn: WriteConnection, ctx: Context, tenant_id: int, device_id: int, now: datetime
) -> RefreshToken:
    token = new_refresh_token(ctx.runtime.keys)
    await conn.affected(
        licensing.insert_refresh_family,
        id=token.family_id,
        tenant_id=tenant_id,
        device_id=device_id,
        token_hash=ctx.runtime.keys.refresh_token_hash(token.text),
        expires_at=now + timedelta(seconds=ctx.runtime.settings.refresh_token_seconds),
        created_at=now,
    )
    return token


def _used(tenant_id: int, code_id: int, hint: str, device_id: int) -> Event:
    title = f"Code …{hint} activated device {device_id}"
    return Event(EventType.CODE_ACTIVATED, title, tenant_id=tenant_id, code_id=code_id, device_id=device_id)
