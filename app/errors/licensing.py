"""A device, a code or a subscription says no."""

from __future__ import annotations

from app.errors.root import PortalError


class DeniedError(PortalError):
    """The request is not allowed."""

    code = "forbidden"
    status = 403


class TenantMismatchError(DeniedError):
    """The device or the session belongs to another tenant.

    Use the address of the tenant that the device is activated for, or that is signed in.
    """

    code = "tenant_mismatch"


class VoidingNotPermittedError(DeniedError):
    """The plan does not let the tenant void usage events.

    Ask the operator to void them, or for a plan that lets you.
    """

    code = "voiding_not_permitted"


class FingerprintMismatchError(DeniedError):
    """The hardware fingerprint is not the one that this device was activated with.

    Activate the changed hardware as a device of its own.
    """

    code = "fingerprint_mismatch"


class DeviceRevokedError(DeniedError):
    """The device was revoked, and a revoked device cannot be activated again.

    Use another device, or ask your vendor to reinstate this one.
    """

    code = "device_revoked"


class DeviceReleasedError(DeniedError):
    """The device has given its seat back.

    Activate it again: with the code that bound it, that costs no further use.
    """

    code = "device_released"


class DeviceMovesExceededError(DeniedError):
    """The device was activated anew {moves} times today, and the plan {plan} allows no more.

    Wait {retry_after} seconds, until the day is over, or change to a plan that allows more. A device that keeps its
    refresh token need not be activated anew, and another machine has a hardware fingerprint of its own.
    """

    code = "device_moves_exceeded"
    status = 429


class DeviceIdleError(DeniedError):
    """The device has lost its seat after days without a sign of life.

    Refresh its tokens: that takes a seat, if one is free.
    """

    code = "device_idle"


class RevokingNotAllowedError(DeniedError):
    """The tenant's plan does not let it revoke devices.

    Release the device instead, which frees its seat, or ask your vendor to revoke it.
    """

    code = "revoking_not_allowed"


class DeviceLimitReachedError(DeniedError):
    """The device limit of the subscription to {plan} is reached: {max_devices} in use.

    Release a device that is no longer used, or change to a larger plan.
    """

    code = "device_limit_reached"


class NoSubscriptionError(DeniedError):
    """The tenant has no subscription.

    Subscribe to a plan first.
    """

    code = "subscription_missing"


class SubscriptionInactiveError(DeniedError):
    """The tenant's subscription is {state}.

    This is possible again as soon as it is active or trialing.
    """

    code = "subscription_inactive"


class TrialEndedError(SubscriptionInactiveError):
    """The tenant's trial ended at {ended_at}.

    This is possible again as soon as the tenant has subscribed to a plan.
    """

    code = "trial_ended"


class GraceEndedError(SubscriptionInactiveError):
    """The tenant's last payment failed, and the time to make up for it ended at {ended_at}.

    This is possible again as soon as the open invoice is paid.
    """

    code = "payment_overdue"


class CodeError(PortalError):
    """The activation code does not open anything."""

    code = "activation_code_invalid"
    status = 400


class CodeUnknownError(CodeError):
    """The activation code is not known for this tenant.

    Compare it with the code that you were given; case, spaces and dashes do not matter.
    """


class CodeRevokedError(CodeError):
    """The activation code was revoked.

    Ask your vendor for a new code.
    """

    code = "activation_code_revoked"


class CodeExpiredError(CodeError):
    """The activation code expired at {expires_at}.

    Ask your vendor for a new code.
    """

    code = "activation_code_expired"


class CodeUsedUpError(CodeError):
    """The activation code was used {use_count} of {max_uses} times.

    Ask your vendor for a new code, or activate a device that is already bound to it.
    """

    code = "activation_code_used_up"
