"""Calls of models that no provider answers."""

from __future__ import annotations

from app.errors.availability import UnavailableError
from app.errors.root import PortalError


class ProviderKeyMissingError(PortalError):
    """None of the providers {providers} has a key.

    Set one of {variables} in the environment of the portal, or as a file in the folder PORTAL_SECRETS_DIR.
    """

    code = "provider_key_missing"
    status = 503


class ProvidersFailedError(PortalError):
    """No provider has answered: {reasons}.

    The log of calls has each attempt. Try again, or choose other providers or models in the settings.
    """

    code = "providers_failed"
    status = 502


class ProvidersCoolingError(UnavailableError):
    """Every provider has failed and is left alone for a while: {reasons}.

    Try again in {retry_after} seconds.
    """

    code = "providers_cooling"
