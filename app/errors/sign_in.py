"""Tenants and operators who sign in, and what they may then do."""

from __future__ import annotations

from app.errors.identity import UnauthenticatedError
from app.errors.licensing import DeniedError


class SessionNotSentError(UnauthenticatedError):
    """No session was shown.

    Sign in, and send the session token in the header X-Session-Token.
    """

    code = "session_missing"


class SessionInvalidError(UnauthenticatedError):
    """The session is not known or has ended.

    Sign in again.
    """

    code = "session_invalid"


class SessionExpiredError(UnauthenticatedError):
    """The session has expired.

    Sign in again.
    """

    code = "session_expired"


class OneTimePasswordInvalidError(UnauthenticatedError):
    """The code is wrong, was used, or has expired.

    Compare it with the newest message, or ask for a new code.
    """

    code = "one_time_password_invalid"


class NotSignedInError(UnauthenticatedError):
    """Nobody is signed in.

    Sign in as an operator, or send an API token as Authorization: Bearer.
    """

    code = "operator_missing"


class ApiTokenInvalidError(UnauthenticatedError):
    """The API token is not known, was revoked, or has expired.

    Ask an owner for a new one.
    """

    code = "api_token_invalid"


class CredentialsInvalidError(UnauthenticatedError):
    """The e-mail address or the password is wrong.

    Try again, or ask an owner for a new sign-in link.
    """

    code = "credentials_invalid"


class SignInLinkInvalidError(UnauthenticatedError):
    """The sign-in link is not known, was used, or has expired.

    Ask for a new one: portal create-operator.
    """

    code = "sign_in_link_invalid"


class TenantLinkInvalidError(SignInLinkInvalidError):
    """The sign-in link is not known, was used, or has expired.

    Ask your vendor for a new one, or sign in with a code.
    """


class SignInFailedError(UnauthenticatedError):
    """The identity provider's answer cannot be trusted: {reason}.

    Start again at /auth/login.
    """

    code = "sign_in_failed"


class AttemptUnknownError(SignInFailedError):
    """The identity provider's answer cannot be trusted: {reason}.

    Start again at /auth/login.
    """


class PermissionDeniedError(DeniedError):
    """This needs the permission {permission}, which you do not have.

    Ask an owner for a role that has it.
    """

    code = "permission_missing"


class OperatorNotAllowedError(DeniedError):
    """The account {email} is not an operator of this portal.

    Ask an owner to admit it.
    """

    code = "operator_not_allowed"


class OperatorAddressMissingError(OperatorNotAllowedError):
    """The identity provider names no e-mail address that can be used.

    Add one to your account there, and have the provider send it to the portal as the claim email.
    """


class OperatorUnverifiedError(OperatorNotAllowedError):
    """The identity provider does not say that the address {email} is verified.

    Have it verified there, then sign in again. A provider that never says so has to be set to send email_verified.
    """


class OperatorBoundError(OperatorNotAllowedError):
    """The operator {email} is somebody else at the identity provider.

    If the address is yours now, ask an owner to unbind the account: portal create-operator --email {email} --unbind.
    """


class OriginRefusedError(DeniedError):
    """A change that is signed in by a cookie may only come from the portal's own pages and the allowed origins.

    Add the page's origin to allowed_origins, or use an API token.
    """

    code = "origin_refused"


class SocketOriginRefusedError(OriginRefusedError):
    """Pages of this origin may not open a WebSocket.

    Add the page's origin to allowed_origins.
    """


class FormRefusedError(DeniedError):
    """This form is too old, or was not made by the portal for this browser.

    Load the page again, allow its cookies, and send the form once more.
    """

    code = "form_refused"
