"""We do not know who asks, or no longer trust what is shown."""

from __future__ import annotations

from app.errors.root import PortalError


class UnauthenticatedError(PortalError):
    """The request does not say who sends it."""

    code = "unauthenticated"
    status = 401


class CallerNotSentError(UnauthenticatedError):
    """Neither a session nor a token was sent.

    Send a tenant's session token in the header X-Session-Token or as Authorization: Bearer, or an API token as bearer.
    """


class TokenNotSentError(UnauthenticatedError):
    """No access token was sent.

    Send the header Authorization: Bearer <access token> of an activated device.
    """

    code = "token_missing"


class TokenInvalidError(UnauthenticatedError):
    """The access token was not issued here, or it was changed.

    Refresh the token, or activate the device again with its code.
    """

    code = "token_invalid"


class TokenExpiredError(UnauthenticatedError):
    """The access token has expired.

    Get a new one with the refresh token at POST /authz/refresh.
    """

    code = "token_expired"


class RefreshTokenInvalidError(UnauthenticatedError):
    """The refresh token is not known for this tenant and device, or it was revoked.

    Activate the device again with its code.
    """

    code = "refresh_token_invalid"


class RefreshTokenExpiredError(UnauthenticatedError):
    """The refresh token has expired.

    Activate the device again with its code.
    """

    code = "refresh_token_expired"


class RefreshTokenSupersededError(UnauthenticatedError):
    """The device was activated again since, and that has ended the tokens of its earlier activations.

    Use the tokens of the newest activation. Another machine needs a hardware fingerprint and a seat of its own; on this
    one, activate the device again with its code.
    """

    code = "refresh_token_superseded"


class RefreshTokenReusedError(UnauthenticatedError):
    """The refresh token was used before, so it may be in other hands; all tokens that stem from it are revoked.

    Activate the device again with its code.
    """

    code = "refresh_token_reused"


class DeviceUnknownError(UnauthenticatedError):
    """The device is not known.

    Activate it with an activation code.
    """

    code = "device_unknown"


class DeviceAccessRevokedError(UnauthenticatedError):
    """The device was revoked, and a revoked device cannot be activated again.

    Use another device.
    """

    code = "device_revoked"
