"""Who may call an operation: a rule stated once, which is enforced, described and tested from the same value."""

from __future__ import annotations

from dataclasses import dataclass

from app import errors
from app.access.permissions import Permission
from app.errors import PortalError


@dataclass(frozen=True, slots=True)
class Caller:
    """Any of these identities; none of them means anybody. Decided before anything else of a request is looked at.

    ``tenant_token`` is a session token that nothing checks: the header must be there, but its session may have ended or
    never have begun, so it identifies nobody.
    """

    device: bool = False
    tenant: bool = False
    tenant_token: bool = False
    permission: Permission | None = None
    # Operators and programs of any role.
    any_operator: bool = False

    @property
    def is_anyone(self) -> bool:
        """Whether nobody needs to say who asks."""
        return self == ANYONE

    @property
    def is_operator(self) -> bool:
        """Whether operators and their programs are accepted."""
        return self.any_operator or self.permission is not None

    @property
    def schemes(self) -> tuple[str, ...]:
        """The names of the ways to identify oneself that are accepted."""
        ways = {
            "device": self.device,
            "tenantSession": self.tenant,
            "operatorSession": self.is_operator,
            "apiToken": self.is_operator,
        }
        return tuple(name for name, accepted in ways.items() if accepted)

    @property
    def missing(self) -> type[PortalError]:
        """The error for a request without any identity."""
        if self.device:
            return errors.TokenMissingError
        return errors.SessionMissingError if self.tenant or self.tenant_token else errors.OperatorMissingError

    @property
    def errors(self) -> tuple[type[PortalError], ...]:
        """What the check itself may answer, whatever the operation."""
        answers: list[type[PortalError]] = [] if self.is_anyone else [self.missing]
        if self.device:
            answers += [
                errors.TokenInvalidError,
                errors.TokenExpiredError,
                errors.DeviceUnknownError,
                errors.DeviceAccessRevokedError,
                errors.RateLimitedError,
            ]
        if self.tenant:
            answers += [errors.SessionInvalidError, errors.SessionExpiredError]
        if self.is_operator:
            answers += [errors.ApiTokenInvalidError, errors.SessionInvalidError, errors.SessionExpiredError]
            answers += [errors.OriginRefusedError]
        if self.permission is not None:
            answers += [errors.PermissionMissingError]
        return tuple(dict.fromkeys(answers))


ANYONE = Caller()
DEVICE = Caller(device=True)
TENANT = Caller(tenant=True)
OPERATOR = Caller(any_operator=True)
TENANT_TOKEN = Caller(tenant_token=True)


def operator(permission: Permission) -> Caller:
    """An operator or an API token with this permission."""
    return Caller(permission=permission)
