"""Policy, heartbeat and branding, and the device that asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.access.keys import fingerprint_hash
from app.errors import (
    DeviceAccessRevokedError,
    DeviceUnknownError,
    FingerprintMismatchError,
    TenantNotFoundError,
    TokenNotSentError,
)
from bench.orm_design.database import Session, runtime
from bench.orm_design.messages import Acknowledged, Branding, Heartbeat, Policy
from bench.orm_design.models import Device, Subscription, Tenant

router = APIRouter(prefix="/licenses")


def asking_device(*loaded: Any) -> Callable[..., Awaitable[Device]]:
    """A dependency: the device whose token is shown, read anew with what the endpoint needs of its relations."""

    async def find(session: Session, authorization: Annotated[str | None, Header()] = None) -> Device:
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise TokenNotSentError
        token = await runtime.tokens.verify(text)
        asked = select(Device).where(Device.tenant_id == token.tenant_id, Device.id == token.device_id)
        device = (await session.scalars(asked.options(*loaded))).one_or_none()
        if device is None:
            raise DeviceUnknownError
        if device.is_revoked:
            raise DeviceAccessRevokedError
        return device

    return find


# All of them lead to one row, which a join brings in one round trip.
with_plan = joinedload(Device.tenant).joinedload(Tenant.subscription).joinedload(Subscription.plan)


@router.get("/policy")
async def policy(device: Annotated[Device, Depends(asking_device(with_plan))]) -> Policy:
    """What the device may do."""
    held = device.tenant.subscription
    if held is None:
        return Policy(plan_name=None, monthly_run_quota=0, subscription_state="none")
    return Policy(
        plan_name=held.plan.name, monthly_run_quota=held.plan.monthly_run_quota, subscription_state=held.state
    )


@router.post("/heartbeat")
async def heartbeat(
    body: Heartbeat, session: Session, device: Annotated[Device, Depends(asking_device())]
) -> Acknowledged:
    """Store that the device is alive."""
    if device.hw_fingerprint != fingerprint_hash(body.hw_fingerprint):
        raise FingerprintMismatchError
    device.last_seen = runtime.clock.now()
    await session.commit()
    return Acknowledged()


@router.get("/branding/{tenant_slug}")
async def branding(tenant_slug: str, session: Session) -> Branding:
    """A tenant's logo, colour and domain."""
    tenant = (await session.scalars(select(Tenant).where(Tenant.slug == tenant_slug))).one_or_none()
    if tenant is None:
        raise TenantNotFoundError(slug=tenant_slug)
    return Branding.model_validate(tenant)
