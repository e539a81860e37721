"""Who may call an operation: one value per rule, from which the portal enforces it and writes its documentation."""

from __future__ import annotations

from dataclasses import dataclass

from app import errors
from app.access.permissions import Permission
from app.errors import PortalError


@dataclass(frozen=True, slots=True)
class Caller:
    """The identities that an operation accepts; none of them means that anybody may call it.

    The check comes before any other check of a request. ``tenant_token`` means that the request must have the header of
    a tenant's session token, and that the token is not verified: it may have expired, or may never have been valid.
    """

    device: bool = False
    tenant: bool = False
    tenant_token: bool = False
    permission: Permission | None = None
    # Any operator, whatever the role permits.
    any_operator: bool = False

    @property
    def is_anyone(self) -> bool:
        """Whether requests without credentials are accepted."""
        return self == ANYONE

    @property
    def is_operator(self) -> bool:
        """Whether operators and API tokens are accepted."""
        return self.any_operator or self.permission is not None

    @property
    def schemes(self) -> tuple[str, ...]:
        """The names of the accepted security schemes."""
        schemes = {
            "device": self.device,
            "tenantSession": self.tenant,
            "operatorSession": self.is_operator,
            "apiToken": self.is_operator,
        }
        return tuple(name for name, is_accepted in schemes.items() if is_accepted)

    @property
    def not_sent(self) -> type[PortalError]:
        """The error for a request without credentials."""
        if self.device:
            return errors.TokenNotSentError
        return errors.SessionNotSentError if self.tenant or self.tenant_token else errors.NotSignedInError

    @property
    def errors(self) -> tuple[type[PortalError], ...]:
        """The errors that the check itself may raise, for any operation."""
        kinds: list[type[PortalError]] = [] if self.is_anyone else [self.not_sent]
        if self.device:
            kinds += [
                errors.TokenInvalidError,
                errors.TokenExpiredError,
                errors.DeviceUnknownError,
                errors.DeviceAccessRevokedError,
                errors.DeviceReleasedError,
                errors.DeviceIdleError,
                errors.RateLimitedError,
            ]
        if self.tenant:
            kinds += [errors.SessionInvalidError, errors.SessionExpiredError]
        if self.is_operator:
            kinds += [errors.ApiTokenInvalidError, errors.SessionInvalidError, errors.SessionExpiredError]
            kinds += [errors.OriginRefusedError]
        if self.permission is not None:
            kinds += [errors.PermissionDeniedError]
        return tuple(dict.fromkeys(kinds))


ANYONE = Caller()
DEVICE = Caller(device=True)
TENANT = Caller(tenant=True)
OPERATOR = Caller(any_operator=True)
TENANT_TOKEN = Caller(tenant_token=True)


def operator(permission: Permission) -> Caller:
    """An operator or an API token with this permission."""
    return Caller(permission=permission)
