"""What a licensed device asks while it runs, and what a sign-in page may show."""

from __future__ import annotations

from app import errors
from app.access.callers import ANYONE, DEVICE
from app.context import Context
from app.services.licensing import heartbeat as heartbeats
from app.services.licensing import policy as policies
from app.services.licensing.heartbeat import Heartbeat
from app.services.licensing.policy import Policy
from app.services.tenants import branding as brandings
from app.services.tenants.branding import Branding
from blueprints.web.fields import TENANT_SLUG_IN_PATH, HardwareFingerprint, RequestModel
from blueprints.web.operations import Api

api = Api("licenses", "/licenses")


class HeartbeatRequest(RequestModel):
    """A device that says it is alive."""

    hw_fingerprint: HardwareFingerprint


@api.operation("GET", "/policy", caller=DEVICE, answers=Policy)
async def policy(ctx: Context) -> Policy:
    """What the device may do, read anew at every call."""
    return await policies.policy(ctx)


@api.operation(
    "POST",
    "/heartbeat",
    caller=DEVICE,
    body=HeartbeatRequest,
    answers=Heartbeat,
    errors=(errors.FingerprintMismatchError,),
)
async def heartbeat(ctx: Context, body: HeartbeatRequest) -> Heartbeat:
    """Say that the device is alive; answered once it is stored."""
    return await heartbeats.heartbeat(ctx, body.hw_fingerprint)


@api.operation(
    "GET",
    "/branding/{tenant_slug}",
    caller=ANYONE,
    answers=Branding,
    errors=(errors.TenantNotFoundError, errors.RateLimitedError),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def branding(ctx: Context, tenant_slug: str) -> Branding:
    """A tenant's logo, colour and domain."""
    return await brandings.branding(ctx, tenant_slug)
