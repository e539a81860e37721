"""The answer of a pure rule: allowed, or the error that says why not and what would free it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import PortalError


@dataclass(frozen=True, slots=True)
class Verdict:
    """Allowed unless it names a denial; ``values`` fill the denial's message."""

    denial: type[PortalError] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether the rule has nothing against it."""
        return self.denial is None

    @property
    def code(self) -> str | None:
        """The error code of a denial."""
        return None if self.denial is None else self.denial.code

    def enforce(self) -> None:
        """Raise the denial, if there is one."""
        if self.denial is not None:
            raise self.denial(**self.values)


ALLOWED = Verdict()
