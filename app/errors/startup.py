"""Why the portal does not start, or cannot work any more."""

from __future__ import annotations

from app.errors.availability import UnavailableError
from app.errors.root import PortalError


class SettingsError(PortalError):
    """Setting {key}: {reason}."""

    code = "settings_invalid"

    def __init__(self, *, key: str, reason: str, variable: str = "") -> None:
        super().__init__(key=key, reason=reason, variable=variable)


class SchemaBehindError(UnavailableError):
    """The database is at migration {found}, this version needs {needed}.

    Run: portal migrate
    """

    code = "schema_behind"

    def __init__(self, *, found: str | None, needed: str, retry_after: int = 1) -> None:
        super().__init__(found=found or "none", needed=needed, retry_after=retry_after)


class DatabaseEncodingError(UnavailableError):
    """The database {database} keeps text as {encoding}, and cannot hold every name: UTF8 is needed.

    Make one: createdb --encoding=UTF8 --template=template0 NAME
    """

    code = "database_encoding"


class WorkForbiddenError(UnavailableError):
    """The database's user {user} may not keep the state of background work, so no mail would leave.

    Run as the owner of the database: GRANT CREATE ON DATABASE "{database}" TO "{user}"; where the schema {engine} is
    there already, grant its use and all privileges on its tables instead.
    """

    code = "work_forbidden"
