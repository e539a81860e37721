"""The one tree of errors; the class says the code and the HTTP status, its docstring what the reader is told.

The docstring's first paragraph is the message, a second one says what would free the caller. Both may name
values in braces, which the raiser passes; the same values travel as extra members of the problem document.

    PortalError
    ├── SettingsError                             the server does not start
    ├── RequestError                              the request cannot be read
    │   ├── MalformedBodyError, ValidationError, PayloadTooLargeError
    │   └── NotFoundError, MethodNotAllowedError, RequestTimeoutError
    ├── UnauthenticatedError                      we do not know who asks
    │   ├── TokenMissingError, TokenInvalidError, TokenExpiredError
    │   ├── RefreshTokenInvalidError, RefreshTokenExpiredError, RefreshTokenReusedError
    │   ├── DeviceUnknownError, DeviceAccessRevokedError
    │   ├── SessionMissingError, SessionInvalidError, SessionExpiredError, OneTimePasswordInvalidError
    │   └── OperatorMissingError, ApiTokenInvalidError, CredentialsInvalidError, SignInLinkInvalidError,
    │       SignInFailedError
    ├── DeniedError                               we know, and the answer is no
    │   ├── TenantMismatchError, FingerprintMismatchError, DeviceRevokedError, DeviceLimitReachedError
    │   ├── SubscriptionMissingError, SubscriptionInactiveError
    │   ├── PermissionMissingError, OriginRefusedError, FormRefusedError
    │   └── OperatorNotAllowedError
    │       └── OperatorBoundError
    ├── CodeError                                 an activation code that does not open
    │   └── CodeUnknownError, CodeRevokedError, CodeExpiredError, CodeUsedUpError
    ├── TenantNotFoundError, PlanNotFoundError, PlanMissingError, CodeNotFoundError, DeviceNotFoundError,
    │   ApiTokenNotFoundError, OperatorNotFoundError
    ├── ConflictError
    │   ├── TenantConflictError, PlanConflictError, PlanNameConflictError, SubscriptionConflictError
    │   └── IdempotencyConflictError, IdempotencyAnswerLostError, IdempotencyRunningError
    │       └── IdempotencyLostError
    ├── DeliveryError                             a message that does not arrive
    │   └── DeliveryDeferredError, MailUnavailableError, MessengerUnavailableError
    ├── RateLimitedError
    │   └── AccountRateLimitedError
    └── UnavailableError                          come back later
        ├── OverloadedError, ShuttingDownError, SignInUnavailableError, SchemaBehindError
        └── DatabaseUnavailableError
            └── DatabaseConflictError
"""

from __future__ import annotations

from app.errors.availability import (
    AccountRateLimitedError,
    DatabaseConflictError,
    DatabaseUnavailableError,
    OverloadedError,
    RateLimitedError,
    ShuttingDownError,
    SignInUnavailableError,
    UnavailableError,
)
from app.errors.catalogue import (
    ApiTokenNotFoundError,
    CodeNotFoundError,
    ConflictError,
    DeviceNotFoundError,
    IdempotencyAnswerLostError,
    IdempotencyConflictError,
    IdempotencyLostError,
    IdempotencyRunningError,
    OperatorNotFoundError,
    PlanConflictError,
    PlanMissingError,
    PlanNameConflictError,
    PlanNotFoundError,
    SubscriptionConflictError,
    TenantConflictError,
    TenantNotFoundError,
)
from app.errors.delivery import (
    DeliveryDeferredError,
    DeliveryError,
    MailUnavailableError,
    MessengerUnavailableError,
)
from app.errors.identity import (
    DeviceAccessRevokedError,
    DeviceUnknownError,
    RefreshTokenExpiredError,
    RefreshTokenInvalidError,
    RefreshTokenReusedError,
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    UnauthenticatedError,
)
from app.errors.licensing import (
    CodeError,
    CodeExpiredError,
    CodeRevokedError,
    CodeUnknownError,
    CodeUsedUpError,
    DeniedError,
    DeviceLimitReachedError,
    DeviceRevokedError,
    FingerprintMismatchError,
    SubscriptionInactiveError,
    SubscriptionMissingError,
    TenantMismatchError,
)
from app.errors.requests import (
    MalformedBodyError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    RequestError,
    RequestTimeoutError,
    ValidationError,
)
from app.errors.root import (
    PortalError,
)
from app.errors.sign_in import (
    ApiTokenInvalidError,
    CredentialsInvalidError,
    FormRefusedError,
    OneTimePasswordInvalidError,
    OperatorBoundError,
    OperatorMissingError,
    OperatorNotAllowedError,
    OriginRefusedError,
    PermissionMissingError,
    SessionExpiredError,
    SessionInvalidError,
    SessionMissingError,
    SignInFailedError,
    SignInLinkInvalidError,
)
from app.errors.startup import (
    SchemaBehindError,
    SettingsError,
)

__all__ = [
    "AccountRateLimitedError",
    "ApiTokenInvalidError",
    "ApiTokenNotFoundError",
    "CodeError",
    "CodeExpiredError",
    "CodeNotFoundError",
    "CodeRevokedError",
    "CodeUnknownError",
    "CodeUsedUpError",
    "ConflictError",
    "CredentialsInvalidError",
    "DatabaseConflictError",
    "DatabaseUnavailableError",
    "DeliveryDeferredError",
    "DeliveryError",
    "DeniedError",
    "DeviceAccessRevokedError",
    "DeviceLimitReachedError",
    "DeviceNotFoundError",
    "DeviceRevokedError",
    "DeviceUnknownError",
    "FingerprintMismatchError",
    "FormRefusedError",
    "IdempotencyAnswerLostError",
    "IdempotencyConflictError",
    "IdempotencyLostError",
    "IdempotencyRunningError",
    "MailUnavailableError",
    "MalformedBodyError",
    "MessengerUnavailableError",
    "MethodNotAllowedError",
    "NotFoundError",
    "OneTimePasswordInvalidError",
    "OperatorBoundError",
    "OperatorMissingError",
    "OperatorNotAllowedError",
    "OperatorNotFoundError",
    "OriginRefusedError",
    "OverloadedError",
    "PayloadTooLargeError",
    "PermissionMissingError",
    "PlanConflictError",
    "PlanMissingError",
    "PlanNameConflictError",
    "PlanNotFoundError",
    "PortalError",
    "RateLimitedError",
    "RefreshTokenExpiredError",
    "RefreshTokenInvalidError",
    "RefreshTokenReusedError",
    "RequestError",
    "RequestTimeoutError",
    "SchemaBehindError",
    "SessionExpiredError",
    "SessionInvalidError",
    "SessionMissingError",
    "SettingsError",
    "ShuttingDownError",
    "SignInFailedError",
    "SignInLinkInvalidError",
    "SignInUnavailableError",
    "SubscriptionConflictError",
    "SubscriptionInactiveError",
    "SubscriptionMissingError",
    "TenantConflictError",
    "TenantMismatchError",
    "TenantNotFoundError",
    "TokenExpiredError",
    "TokenInvalidError",
    "TokenMissingError",
    "UnauthenticatedError",
    "UnavailableError",
    "ValidationError",
]
