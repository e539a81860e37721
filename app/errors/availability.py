"""Not now: limits and outages."""

from __future__ import annotations

from typing import Any

from app.errors.root import PortalError


class RateLimitedError(PortalError):
    """Too many requests.

    Wait {retry_after} seconds, then try again.
    """

    code = "rate_limited"
    status = 429


class AccountRateLimitedError(RateLimitedError):
    """Too many attempts to sign in with this e-mail address.

    Try again in {retry_after} seconds, or use a one-time link at once: portal create-operator makes one.
    """


class TenantRateLimitedError(RateLimitedError):
    """Too many attempts to sign in with this name.

    Try again in {retry_after} seconds. Sooner, use a browser that has signed in with it before, or ask your vendor for
    a sign-in link.
    """


class UnavailableError(PortalError):
    """The service cannot answer at the moment.

    Try again in {retry_after} seconds.
    """

    code = "service_unavailable"
    status = 503

    def __init__(self, *, retry_after: int = 1, **values: Any) -> None:
        super().__init__(retry_after=retry_after, **values)


class SignInUnavailableError(UnavailableError):
    """Signing in with an identity provider is not set up, or the provider does not answer.

    Set oidc_issuer and its client, or sign in with a local account; try again in {retry_after} seconds.
    """

    code = "sign_in_unavailable"


class ClientRefusedError(SignInUnavailableError):
    """The identity provider does not accept the portal as its client ({error}).

    Ask an owner to compare oidc_client_id and PORTAL_OIDC_CLIENT_SECRET with the provider; portal doctor tries them.
    """


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer.

    Try again in {retry_after} seconds; nothing was changed unless an earlier answer said so.
    """

    code = "database_unavailable"


class DatabaseConflictError(DatabaseUnavailableError):
    """Others were changing the same at the same moment, and the database has undone this.

    Try again in {retry_after} seconds; nothing was changed.
    """


class RowLockedError(DatabaseConflictError):
    """Somebody is changing the same for longer than others wait.

    Try again in {retry_after} seconds; nothing was changed.
    """


class OverloadedError(UnavailableError):
    """Too many requests are waiting.

    Try again in {retry_after} seconds.
    """

    code = "overloaded"


class TooManyWatchersError(PortalError):
    """This tenant watches {limit} runs through this server, and no more are allowed.

    Close one of the streams, then try again.
    """

    code = "too_many_watchers"
    status = 429


class TooManyConnectionsError(PortalError):
    """This caller has {limit} connections to this server that stay open, and no more are allowed.

    Close one of them, then try again.
    """

    code = "too_many_connections"
    status = 429


class TooManyOperationsError(PortalError):
    """This connection runs {limit} operations already, and no more are allowed.

    Complete one of them, then try again.
    """

    code = "too_many_operations"
    status = 429


class ConnectionsFullError(OverloadedError):
    """This server keeps as many connections open as it can.

    Try again in {retry_after} seconds.
    """


class BodiesFullError(OverloadedError):
    """This server holds as much as it can of what others are sending.

    Try again in {retry_after} seconds.
    """


class WatchersFullError(OverloadedError):
    """This server sends as many streams of events as it can.

    Try again in {retry_after} seconds; what happens meanwhile is told then.
    """


class ShuttingDownError(UnavailableError):
    """This server is being stopped.

    Try again in {retry_after} seconds; another one will answer.
    """

    code = "shutting_down"
