"""Refresh: a one-time token buys the next pair; one that is shown twice closes its family."""

from __future__ import annotations

from datetime import datetime, timedelta
from hmac import compare_digest

from fastapi import APIRouter
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.context import VISITOR, Context
from app.errors import (
    DeviceAccessRevokedError,
    NoSubscriptionError,
    RefreshTokenExpiredError,
    RefreshTokenInvalidError,
    RefreshTokenReusedError,
    TenantNotFoundError,
)
from app.services.billing.allowance import Standing, may
from app.services.licensing.token_pairs import (
    Entitlements,
    RefreshToken,
    new_refresh_token,
    read_refresh_token,
    token_pair,
)
from bench.orm_design.database import Session, runtime
from bench.orm_design.messages import Refresh, TokenPair
from bench.orm_design.models import Device, PlatformEvent, RefreshFamily, Subscription, Tenant

router = APIRouter(prefix="/authz")


@router.post("/refresh")
async def refresh(body: Refresh, session: Session) -> TokenPair:
    """Replace a refresh token by a new pair of tokens."""
    now = runtime.clock.now()
    shown = read_refresh_token(runtime.keys, body.refresh_token)
    family = await _find(session, body, shown)
    granted = _granted(family, now)
    renewed = new_refresh_token(runtime.keys, family.id)
    if not await _rotate(session, family, body.refresh_token, renewed, now):
        await _close(session, family, now)
        await session.commit()
        raise RefreshTokenReusedError
    await session.commit()
    pair = token_pair(Context(runtime, VISITOR), family.tenant_id, family.device_id, renewed, granted)
    return TokenPair.model_validate(pair)


async def _find(session: AsyncSession, body: Refresh, shown: RefreshToken | None) -> RefreshFamily:
    asked = (
        select(RefreshFamily)
        .join(Tenant, Tenant.id == RefreshFamily.tenant_id)
        .where(
            Tenant.slug == body.tenant_slug,
            RefreshFamily.id == (shown.family_id if shown else ""),
            RefreshFamily.device_id == body.device_id,
        )
        .options(
            joinedload(RefreshFamily.device)
            .joinedload(Device.tenant)
            .joinedload(Tenant.subscription)
            .joinedload(Subscription.plan)
        )
    )
    if (family := (await session.scalars(asked)).one_or_none()) is not None:
        return family
    if await session.scalar(select(Tenant.id).where(Tenant.slug == body.tenant_slug)) is None:
        raise TenantNotFoundError(slug=body.tenant_slug)
    raise RefreshTokenInvalidError


def _granted(family: RefreshFamily, now: datetime) -> Entitlements:
    """What the subscription grants, where family, device and subscription allow a new pair."""
    if family.device.is_revoked:
        raise DeviceAccessRevokedError
    if family.revoked_at is not None:
        raise RefreshTokenInvalidError
    if family.expires_at <= now:
        raise RefreshTokenExpiredError
    held = family.device.tenant.subscription
    if held is None:
        raise NoSubscriptionError
    may("refresh_token", Standing(held.state), now).enforce()
    return Entitlements(held.plan.name, held.plan.monthly_run_quota, held.state)


async def _rotate(
    session: AsyncSession, family: RefreshFamily, shown: str, renewed: RefreshToken, now: datetime
) -> bool:
    """Whether the shown token was still the current one; of several requests with it one succeeds."""
    shown_hash = runtime.keys.refresh_token_hash(shown)
    if not compare_digest(family.token_hash, shown_hash):
        return False
    rotated = await session.execute(
        update(RefreshFamily)
        .where(
            RefreshFamily.id == family.id,
            RefreshFamily.token_hash == shown_hash,
            RefreshFamily.revoked_at.is_(None),
            RefreshFamily.expires_at > now,
        )
        .values(
            token_hash=runtime.keys.refresh_token_hash(renewed.text),
            expires_at=now + timedelta(seconds=runtime.settings.refresh_token_seconds),
        )
        .execution_options(synchronize_session=False)
    )
    return rotated.rowcount == 1


async def _close(session: AsyncSession, family: RefreshFamily, now: datetime) -> None:
    closed = await session.execute(
        update(RefreshFamily)
        .where(RefreshFamily.id == family.id, RefreshFamily.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    if closed.rowcount:
        session.add(
            PlatformEvent(
                event_type="refresh_token_reused",
                severity="major",
                title=f"Refresh token of device {family.device_id} used twice; its tokens are revoked",
                actor_type="device",
                actor_name=f"device {family.device_id}",
                tenant_id=family.tenant_id,
                device_id=family.device_id,
                details="{}",
                created_at=now,
            )
        )
