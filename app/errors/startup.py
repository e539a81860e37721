"""Why the portal does not start."""

from __future__ import annotations

from app.errors.root import PortalError


class SettingsError(PortalError):
    """Setting {key}: {reason}."""

    code = "settings_invalid"

    def __init__(self, *, key: str, reason: str, variable: str = "") -> None:
        super().__init__(key=key, reason=reason, variable=variable)


class SchemaBehindError(PortalError):
    """The database is at migration {found}, this version needs {needed}.

    Run: portal migrate
    """

    code = "schema_behind"
