"""The discovery document of an OpenID Connect provider: where it is asked what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from app.errors import SignInUnavailableError

if TYPE_CHECKING:
    from httpx2 import Response

# After so many seconds whoever signs in may try again.
RETRY_SECONDS = 30

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The values of the provider's discovery document; ``takes_basic`` allows the client secret in a Basic header."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    takes_basic: bool


def discovery_from(issuer: str, response: Response) -> Discovery:
    """Parse the discovery document; its issuer must be the configured one, and all endpoints https if the issuer is."""
    try:
        document = response.json()
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        discovery = Discovery(
            str(document["issuer"]),
            str(document["authorization_endpoint"]),
            str(document["token_endpoint"]),
            str(document["jwks_uri"]),
            document.get("userinfo_endpoint"),
            "client_secret_basic" in methods,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        log.warning("identity_provider_failed", asked=issuer, failure="its discovery document cannot be read")
        raise SignInUnavailableError(retry_after=RETRY_SECONDS) from failure
    endpoints = (
        discovery.authorization_endpoint,
        discovery.token_endpoint,
        discovery.jwks_uri,
        discovery.userinfo_endpoint or issuer,
    )
    is_safe = issuer.startswith("http://") or all(endpoint.startswith("https://") for endpoint in endpoints)
    if discovery.issuer.rstrip("/") != issuer or not is_safe:
        log.warning("identity_provider_failed", asked=issuer, failure="names another issuer, or is not https")
        raise SignInUnavailableError(retry_after=RETRY_SECONDS)
    return discovery
