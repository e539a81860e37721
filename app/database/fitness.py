"""Whether a server can be the portal's: what it says of its encoding, and of what this user may do there."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.errors import DatabaseEncodingError, WorkForbiddenError

# The schema of the durable engine's tables.
ENGINE_SCHEMA: Final = "dbos"


class Fitness(NamedTuple):
    """What PostgreSQL answers to the statement of this name."""

    encoding: str
    database: str
    user: str
    may_work: bool

    def check(self, *, works: bool) -> None:
        """Raise DatabaseEncodingError, or WorkForbiddenError where this host ``works``."""
        if self.encoding != "UTF8":
            raise DatabaseEncodingError(database=self.database, encoding=self.encoding)
        if works and not self.may_work:
            raise WorkForbiddenError(user=self.user, database=self.database, engine=ENGINE_SCHEMA)
