"""Activation and refresh: how a device comes by its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import ANYONE, DEVICE
from app.context import Context
from app.services.licensing import activation, devices, refresh
from app.services.licensing.token_pairs import TokenPair
from blueprints.web.fields import NO_NUL, DeviceId, HardwareFingerprint, RequestModel, TenantSlug
from blueprints.web.operations import Api

api = Api("authz", "/authz")


class ActivateRequest(RequestModel):
    """A device that wants to be licensed."""

    tenant_slug: TenantSlug
    activation_code: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100,
            pattern=NO_NUL,
            description="The code as it was given out; case, spaces and dashes do not matter.",
            examples=["ABCD-EFGH-JKLM-NPQR"],
        ),
    ]
    hw_fingerprint: HardwareFingerprint


@dataclass(frozen=True, slots=True)
class Deactivated:
    """A device that has given its seat back."""

    device_id: int
    has_seat: bool = False


class RefreshRequest(RequestModel):
    """A device that wants new tokens."""

    tenant_slug: TenantSlug
    device_id: DeviceId
    refresh_token: Annotated[
        str, Field(min_length=1, max_length=200, pattern=NO_NUL, description="The refresh token of the last answer.")
    ]


@api.operation(
    "POST",
    "/activate",
    caller=ANYONE,
    body=ActivateRequest,
    answers=TokenPair,
    creates=True,
    errors=(
        errors.TenantNotFoundError,
        errors.CodeUnknownError,
        errors.CodeRevokedError,
        errors.CodeExpiredError,
        errors.CodeUsedUpError,
        errors.NoSubscriptionError,
        errors.SubscriptionInactiveError,
        errors.DeviceRevokedError,
        errors.DeviceLimitReachedError,
        errors.DeviceMovesExceededError,
        errors.RateLimitedError,
    ),
)
async def activate(ctx: Context, body: ActivateRequest) -> TokenPair:
    """Activate a device with a code.

    The same device with the same code may activate again without a further use, so a lost answer costs nothing. That
    ends the tokens that it had: those of its last activation with the first refresh of the new ones, and after 60
    seconds (`refresh_grace_seconds`) in any case; all earlier ones at once.
    """
    return await activation.activate(ctx, body.tenant_slug, body.activation_code, body.hw_fingerprint)


@api.operation(
    "POST",
    "/refresh",
    caller=ANYONE,
    body=RefreshRequest,
    query=RefreshRequest,
    answers=TokenPair,
    creates=True,
    repeats=True,
    errors=(
        errors.TenantNotFoundError,
        errors.RefreshTokenInvalidError,
        errors.RefreshTokenExpiredError,
        errors.RefreshTokenReusedError,
        errors.RefreshTokenSupersededError,
        errors.DeviceAccessRevokedError,
        errors.DeviceReleasedError,
        errors.DeviceLimitReachedError,
        errors.NoSubscriptionError,
        errors.SubscriptionInactiveError,
        errors.RateLimitedError,
    ),
)
async def refresh_tokens(ctx: Context, body: RefreshRequest) -> TokenPair:
    """Replace a refresh token by a new pair of tokens.

    Send the fields as a JSON body; as a query they work too, but proxies write queries into their logs. A refresh
    token works once. If its answer was lost, the same token gets the same new refresh token for 60 seconds
    (`refresh_grace_seconds`), as long as nobody has used that; afterwards it revokes every token that stems from the
    same activation.
    """
    return await refresh.refresh(ctx, body.tenant_slug, body.device_id, body.refresh_token)


@api.operation("POST", "/deactivate", caller=DEVICE, answers=Deactivated)
async def deactivate(ctx: Context) -> Deactivated:
    """Give the seat of the device that asks back, as an uninstaller does.

    The device is refused from then on, until it is activated again: with the code that bound it, without a further use.
    Sent again, it changes nothing.
    """
    await devices.deactivate(ctx)
    return Deactivated(ctx.device[1])
