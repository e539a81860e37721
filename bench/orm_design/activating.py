"""Activation: a code binds a device, with the portal's rules and the same conditional changes as guards."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter
from sqlalchemy import ColumnElement, and_, func, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.access.keys import fingerprint_hash
from app.context import VISITOR, Context
from app.errors import (
    CodeExpiredError,
    CodeRevokedError,
    CodeUnknownError,
    CodeUsedUpError,
    DeviceLimitReachedError,
    DeviceRevokedError,
    OverloadedError,
    TenantNotFoundError,
)
from app.services.billing.allowance import Standing, may
from app.services.licensing import code_text
from app.services.licensing.token_pairs import Entitlements, RefreshToken, new_refresh_token, token_pair
from bench.orm_design.database import Session, runtime
from bench.orm_design.messages import Activate, TokenPair
from bench.orm_design.models import ActivationCode, Device, Plan, PlatformEvent, RefreshFamily, Subscription, Tenant

# This design knows neither days of grace nor the end of a trial.
LICENSED_STATES = ("active", "trialing")

router = APIRouter(prefix="/authz")

# Races resolve at the second try.
TRIES = 5


class RaceLostError(Exception):
    """What was read has changed before it could be acted on."""


@router.post("/activate")
async def activate(body: Activate, session: Session) -> TokenPair:
    """Bind a device to a tenant with a code and hand out its tokens."""
    code = code_text.normalize(body.activation_code)
    code_hash = b"" if code is None else runtime.keys.code_hash(code)
    hardware = fingerprint_hash(body.hw_fingerprint)
    for _ in range(TRIES):
        now = runtime.clock.now()
        tenant, shown, known = await _look(session, body.tenant_slug, code_hash, hardware)
        shown = _check(tenant, shown, known, now)
        try:
            if known is None:
                device = await _enroll(session, shown, hardware, now)
            else:
                device = await _bind(session, shown, known, now)
            token = _open_family(session, device, now)
            if known is None:
                # The most contended row last.
                await _take_seat(session, tenant.id)
            await session.commit()
        except (RaceLostError, IntegrityError):
            await session.rollback()
            continue
        held = tenant.subscription
        granted = Entitlements(held.plan.name, held.plan.monthly_run_quota, held.state)
        pair = token_pair(Context(runtime, VISITOR), tenant.id, device.id, token, granted)
        return TokenPair.model_validate(pair)
    raise OverloadedError


async def _look(
    session: AsyncSession, tenant_slug: str, code_hash: bytes, hardware: str
) -> tuple[Tenant, ActivationCode | None, Device | None]:
    asked = (
        select(Tenant, ActivationCode, Device)
        .outerjoin(ActivationCode, and_(ActivationCode.tenant_id == Tenant.id, ActivationCode.code_hash == code_hash))
        .outerjoin(Device, and_(Device.tenant_id == Tenant.id, Device.hw_fingerprint == hardware))
        .where(Tenant.slug == tenant_slug)
        .options(joinedload(Tenant.subscription).joinedload(Subscription.plan))
    )
    if (found := (await session.execute(asked)).one_or_none()) is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return found.tuple()


def _check(tenant: Tenant, code: ActivationCode | None, device: Device | None, now: datetime) -> ActivationCode:
    """The code, where nothing stands against the activation; raises in the portal's order of refusals."""
    if code is None:
        raise CodeUnknownError
    if code.revoked_at is not None:
        raise CodeRevokedError
    if device is not None and device.is_revoked:
        raise DeviceRevokedError
    held = tenant.subscription
    may("activate_device", Standing(held.state if held else None), now).enforce()
    if device is not None and device.activation_code_id == code.id:
        return code
    if code.expires_at is not None and code.expires_at <= now:
        raise CodeExpiredError(expires_at=code.expires_at.isoformat())
    if code.use_count == code.max_uses:
        raise CodeUsedUpError(use_count=code.use_count, max_uses=code.max_uses)
    most = held.plan.max_devices
    if device is None and most is not None and held.seats_used >= most:
        raise DeviceLimitReachedError(plan=held.plan.name, max_devices=most)
    return code


async def _enroll(session: AsyncSession, code: ActivationCode, hardware: str, now: datetime) -> Device:
    """Take a use of the code and store a device that was not known."""
    await _claim(session, code, now)
    device = Device(
        tenant_id=code.tenant_id,
        hw_fingerprint=hardware,
        activation_code_id=code.id,
        last_seen=now,
        created_at=now,
    )
    session.add(device)
    await session.flush()
    session.add_all([_event("code_activated", code, device, now), _event("device_enrolled", code, device, now)])
    return device


async def _claim(session: AsyncSession, code: ActivationCode, now: datetime) -> None:
    claimed = await session.execute(
        update(ActivationCode)
        .where(
            ActivationCode.id == code.id,
            ActivationCode.revoked_at.is_(None),
            ActivationCode.use_count < ActivationCode.max_uses,
            or_(ActivationCode.expires_at.is_(None), ActivationCode.expires_at > now),
        )
        .values(use_count=ActivationCode.use_count + 1, used_at=func.coalesce(ActivationCode.used_at, now))
        .execution_options(synchronize_session=False)
    )
    if not claimed.rowcount:
        raise RaceLostError


async def _bind(session: AsyncSession, code: ActivationCode, device: Device, now: datetime) -> Device:
    """Admit a device that has its seat: with the code that bound it as it is, with another one for a use of that."""
    is_bound = device.activation_code_id == code.id
    if not is_bound:
        await _claim(session, code, now)
    is_good = select(ActivationCode.id).where(ActivationCode.id == code.id, ActivationCode.revoked_at.is_(None))
    bound = await session.execute(
        update(Device)
        .where(
            Device.id == device.id,
            Device.activation_code_id.is_not_distinct_from(device.activation_code_id),
            not_(Device.is_revoked),
            _is_licensed(device.tenant_id),
            is_good.exists(),
        )
        .values(activation_code_id=code.id, last_seen=now)
        .execution_options(synchronize_session=False)
    )
    if not bound.rowcount:
        raise RaceLostError
    session.add(_event("device_reactivated" if is_bound else "code_activated", code, device, now))
    return device


def _is_licensed(tenant_id: int) -> ColumnElement[bool]:
    return (
        select(Subscription.id)
        .where(
            Subscription.tenant_id == tenant_id,
            Subscription.ended_at.is_(None),
            Subscription.state.in_(LICENSED_STATES),
        )
        .exists()
    )


async def _take_seat(session: AsyncSession, tenant_id: int) -> None:
    most = select(Plan.max_devices).where(Plan.id == Subscription.plan_id).scalar_subquery()
    taken = await session.execute(
        update(Subscription)
        .where(
            Subscription.tenant_id == tenant_id,
            Subscription.ended_at.is_(None),
            Subscription.state.in_(LICENSED_STATES),
            or_(most.is_(None), Subscription.seats_used < most),
        )
        .values(seats_used=Subscription.seats_used + 1)
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount:
        raise RaceLostError


def _open_family(session: AsyncSession, device: Device, now: datetime) -> RefreshToken:
    token = new_refresh_token(runtime.keys)
    session.add(
        RefreshFamily(
            id=token.family_id,
            tenant_id=device.tenant_id,
            device_id=device.id,
            token_hash=runtime.keys.refresh_token_hash(token.text),
            expires_at=now + timedelta(seconds=runtime.settings.refresh_token_seconds),
            created_at=now,
        )
    )
    return token


def _event(kind: str, code: ActivationCode, device: Device, now: datetime) -> PlatformEvent:
    titles = {
        "code_activated": f"Code …{code.hint} activated device {device.id}",
        "device_enrolled": f"Device {device.id} enrolled",
        "device_reactivated": f"Device {device.id} activated again",
    }
    return PlatformEvent(
        event_type=kind,
        severity="minor",
        title=titles[kind],
        actor_type="device",
        actor_name=f"device {device.id}",
        tenant_id=device.tenant_id,
        code_id=code.id,
        device_id=device.id,
        details="{}",
        created_at=now,
    )
