"""Activation: a code binds a device, in one transaction that takes everything it needs or nothing.

Every request is first tried as one for unknown hardware, together with other requests that wait, unless its
fingerprint is not written as it is stored: that hardware may be known under another hash. Only when a guard
refuses that, the situation is read and a pure rule says why. Where the rule has no objection, the hardware is a device
already or another request was in the way, and the activation is tried again with the situation that was read.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.calendar import start_of
from app.context import Context
from app.errors import (
    CodeExpiredError,
    CodeRevokedError,
    CodeUnknownError,
    CodeUsedUpError,
    DeviceLimitReachedError,
    DeviceMovesExceededError,
    DeviceRevokedError,
    OverloadedError,
    PortalError,
    TenantNotFoundError,
)
from app.errors.verdict import ALLOWED, Verdict
from app.events import EventType, record
from app.limits.guesses import guessing
from app.services.billing.allowance import Standing, may
from app.services.billing.clock import billing_now
from app.services.licensing import code_text
from app.services.licensing.enrollment import (
    ENROLLMENTS,
    ActivationRequest,
    Enrollment,
    GuardRefusedError,
    PendingActivation,
    code_activated,
    enroll_alone,
    family_row,
    take_seats,
)
from app.services.licensing.fingerprints import Fingerprint, read_fingerprint, store_as_normal
from app.services.licensing.token_pairs import Entitlements, TokenPair, new_refresh_token, token_pair
from app.telemetry import metrics
from sql.statements import activation as statements
from sql.statements import licensing

# Races resolve at the second try; more would mean that guard and rule disagree.
TRIES = 5
NO_CODE = b""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides about an activation: it explains a refusal, and is what a device activates again with."""

    tenant_id: int
    subscription_state: str | None
    grace_until: datetime | None
    trial_ends_at: datetime | None
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
    seat_held: bool | None
    stored_fingerprint: str | None
    moves: int
    device_moves_per_day: int | None

    @property
    def is_bound(self) -> bool:
        """Whether the device was bound by this very code."""
        return self.device_id is not None and self.device_code_id == self.code_id

    @property
    def standing(self) -> Standing:
        """How the tenant's subscription stands."""
        return Standing(self.subscription_state, self.grace_until, self.trial_ends_at)


async def activate(ctx: Context, tenant_slug: str, activation_code: str, hw_fingerprint: str) -> TokenPair:
    """Bind a device to a tenant with a code and answer its tokens.

    A device that was bound by this code activates again without a further use, because a lost answer must not cost
    a customer a code; a device with another code takes a use of that one and keeps its seat. Raises
    TenantNotFoundError, a CodeError or a DeniedError, each saying how the device can be activated after all, and
    RateLimitedError for guesses.
    """
    code, fingerprint = code_text.normalize(activation_code), read_fingerprint(hw_fingerprint)
    request = ActivationRequest(
        tenant_slug,
        NO_CODE if code is None else ctx.runtime.keys.code_hash(code),
        fingerprint.hash,
        None if fingerprint.is_normal else fingerprint.raw_hash,
    )
    async with guessing(ctx):
        try:
            pair = await _decide(ctx, request)
        except PortalError as denial:
            metrics.activations.labels(denial.code).inc()
            raise
    metrics.activations.labels("activated").inc()
    return pair


def judge(  # noqa: PLR0911 - one a rule
    situation: Situation | None, request: ActivationRequest, now: datetime, at_billing: datetime, next_day: datetime
) -> Verdict:
    """Why this activation is refused, or ALLOWED if nothing is; ``at_billing`` is now by the clock of billing.

    ``next_day`` is when devices that were activated anew too often today may be so again.
    """
    if situation is None:
        return Verdict(TenantNotFoundError, {"slug": request.tenant_slug})
    if situation.code_id is None:
        return Verdict(CodeUnknownError)
    if situation.code_revoked_at is not None:
        return Verdict(CodeRevokedError)
    if situation.device_is_revoked:
        return Verdict(DeviceRevokedError)
    if not (verdict := may("activate_device", situation.standing, at_billing)).allowed:
        return verdict
    if not situation.is_bound:
        if situation.code_expires_at is not None and situation.code_expires_at <= now:
            return Verdict(CodeExpiredError, {"expires_at": situation.code_expires_at.isoformat()})
        if situation.use_count == situation.max_uses:
            return Verdict(CodeUsedUpError, {"use_count": situation.use_count, "max_uses": situation.max_uses})
    return _judge_device(situation, now, next_day)


def _judge_device(situation: Situation, now: datetime, next_day: datetime) -> Verdict:
    """Whether the hardware may be activated by a code that is good: its moves of the day, and a seat for it."""
    most, plan = situation.device_moves_per_day, situation.plan_name
    if situation.device_id is not None and most is not None and situation.moves >= most:
        wait = max(1, math.ceil((next_day - now).total_seconds()))
        return Verdict(DeviceMovesExceededError, {"moves": situation.moves, "plan": plan, "retry_after": wait})
    is_full = situation.max_devices is not None and (situation.seats_used or 0) >= situation.max_devices
    if not situation.seat_held and is_full:
        return Verdict(DeviceLimitReachedError, {"plan": plan, "max_devices": situation.max_devices})
    return ALLOWED


async def _decide(ctx: Context, request: ActivationRequest) -> TokenPair:
    """Enroll as unknown hardware first, beside others; where a guard refuses, read why, and raise it or try again."""
    pending = PendingActivation(ctx, request)
    enrollment: Enrollment | None = None
    if request.raw_fingerprint is None:
        enrollment = await _refused_is_none(ctx.runtime.coalescer(ENROLLMENTS).ask(pending))
    for _ in range(TRIES):
        if enrollment is not None:
            return token_pair(ctx, *enrollment)
        situation = await _look(ctx, request)
        await _normalize(ctx, request, situation)
        next_day = start_of(ctx.today() + timedelta(days=1), ctx.runtime.zone)
        judge(situation, request, ctx.now(), await billing_now(ctx), next_day).enforce()
        if situation is None or situation.device_id is None:
            enrollment = await _refused_is_none(enroll_alone(pending))
        else:
            enrollment = await _refused_is_none(_activate_again(ctx, situation))
    raise OverloadedError


async def _refused_is_none(enrolling: Awaitable[Enrollment | None]) -> Enrollment | None:
    try:
        return await enrolling
    except GuardRefusedError:
        return None


async def _look(ctx: Context, request: ActivationRequest) -> Situation | None:
    async with ctx.read() as conn:
        return await conn.maybe(
            statements.activation_situation,
            Situation,
            tenant_slug=request.tenant_slug,
            code_hash=request.code_hash,
            hw_fingerprint=request.hw_fingerprint,
            raw_fingerprint=request.raw_fingerprint or request.hw_fingerprint,
            today=ctx.today(),
        )


async def _normalize(ctx: Context, request: ActivationRequest, situation: Situation | None) -> None:
    """Store a device that is known by its fingerprint as it was sent under the normalised one; also a revoked device.

    Only whoever has a code of the tenant changes anything.
    """
    raw_hash = request.raw_fingerprint
    if raw_hash is None or situation is None or situation.code_id is None or situation.device_id is None:
        return
    if situation.stored_fingerprint == raw_hash:
        fingerprint = Fingerprint(request.hw_fingerprint, raw_hash)
        await store_as_normal(ctx, situation.tenant_id, situation.device_id, fingerprint)


async def _activate_again(ctx: Context, situation: Situation) -> Enrollment:
    """Give tokens to a known device: free with the code that bound it, for one use of any other code.

    A device that holds no seat takes one. Its earlier tokens end, the newest of them after an overlap.
    """
    tenant_id, device_id, code_id = situation.tenant_id, situation.device_id, situation.code_id
    if device_id is None or code_id is None:
        raise GuardRefusedError
    now, at_billing = ctx.now(), await billing_now(ctx)
    token = new_refresh_token(ctx.runtime.keys)
    event = code_activated(tenant_id, code_id, situation.code_hint or "", device_id)
    if situation.is_bound:
        event = replace(event, type=EventType.DEVICE_REACTIVATED, title=f"Device {device_id} activated again")
    async with ctx.write(is_final=False) as conn:
        if not situation.is_bound and not await conn.affected(
            statements.use_code, of_tenant_id=tenant_id, code_id=code_id, now=now
        ):
            raise GuardRefusedError
        if not await conn.affected(
            statements.bind_device,
            of_tenant_id=tenant_id,
            device_id=device_id,
            from_code_id=situation.device_code_id,
            from_seat_held=bool(situation.seat_held),
            code_id=code_id,
            now=now,
            today=ctx.today(),
            billing_now=at_billing,
        ):
            raise GuardRefusedError
        own = {"of_tenant_id": tenant_id, "of_device_id": device_id}
        await conn.affected(licensing.supersede_refresh_families, **own, now=now)
        family = family_row(ctx.runtime, token, tenant_id, device_id, now)
        await conn.affected(licensing.insert_refresh_family, **family)
        await record(conn, ctx.as_device(tenant_id, device_id), event)
        if not situation.seat_held:
            await take_seats(conn, {tenant_id: 1}, at_billing)
    entitlements = Entitlements(situation.plan_name, situation.monthly_run_quota or 0, situation.subscription_state)
    return Enrollment(tenant_id, device_id, token, entitlements)
