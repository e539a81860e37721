"""The rules of projects, all pure: what ids they get, which may run, and why a code cannot be assigned."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from app.errors import (
    CodeExpiredError,
    CodeRevokedError,
    CodeUnknownError,
    CodeUsedUpError,
    ProjectHasCodeError,
    ProjectIncompleteError,
    ProjectNotFoundError,
    ProjectWithoutCodeError,
    ProjectWithoutTenantError,
)
from app.errors.verdict import ALLOWED, Verdict
from app.services.billing.allowance import Standing, may
from app.services.projects.details import Project
from sql.tables.projects import MAX_PROJECT_ID

MAX_NAME: Final = 100
MAX_CLIENT_NAME: Final = 255
MAX_DESCRIPTION: Final = 20_000
MAX_INSTRUCTIONS: Final = 100_000
# What an id may be: it names folders and stands in addresses.
PROJECT_ID: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
MAX_NUMBER: Final = 999

_NUMBERED = "_{:03}"
_OTHER_CHARACTERS = re.compile(r"[^a-z0-9]+")


class IdFamily(NamedTuple):
    """The ids that a new project may get: ``base``, and where that is taken, ``base`` with a number behind it."""

    base: str

    @property
    def first(self) -> str:
        """The first numbered id."""
        return self._with(_NUMBERED.format(1))

    @property
    def last(self) -> str:
        """The last numbered id."""
        return self._with(_NUMBERED.format(MAX_NUMBER))

    def free_id(self, taken: Collection[str], unix_seconds: int) -> str:
        """The first id that is not taken; one that ends in the seconds where all of them are."""
        if self.base not in taken:
            return self.base
        numbered = (self._with(_NUMBERED.format(number)) for number in range(1, MAX_NUMBER + 1))
        return next((one for one in numbered if one not in taken), self._with(f"-{unix_seconds}"))

    def _with(self, ending: str) -> str:
        """The base with an ending, shortened so that both fit."""
        return self.base[: MAX_PROJECT_ID - len(ending)] + ending


class Assignment(NamedTuple):
    """All that decides whether a project gets a code."""

    project_code_id: int | None
    code_id: int | None
    revoked_at: datetime | None
    expires_at: datetime | None
    use_count: int | None
    max_uses: int | None


def family_of(name: str, tenant_id: int, unix_seconds: int) -> IdFamily:
    """The ids of a tenant's project with this name.

    The name in lower case, each run of other characters than letters and digits a hyphen; a name without any of those
    gives an id of the tenant and the seconds.
    """
    base = _OTHER_CHARACTERS.sub("-", name.lower()).strip("-")[:MAX_PROJECT_ID]
    return IdFamily(base or f"project-{tenant_id}-{unix_seconds}")


def missing_fields(values: Mapping[str, str | None]) -> list[str]:
    """The names of those that are absent or blank."""
    return [name for name, value in values.items() if not (value or "").strip()]


def may_run(project: Project, standing: Standing, at_billing: datetime) -> Verdict:
    """Whether a project may be run, as far as its tenant, its subscription, its code and its texts decide.

    ``at_billing`` is now by the clock of billing.
    """
    if project.tenant_id is None:
        return Verdict(ProjectWithoutTenantError)
    if not (verdict := may("run_project", standing, at_billing)).allowed:
        return verdict
    if project.activation_code_id is None:
        return Verdict(ProjectWithoutCodeError)
    texts = {"description": project.shown_description, "objectives": project.custom_instructions}
    if missing := missing_fields(texts):
        return Verdict(ProjectIncompleteError, {"fields": missing})
    return ALLOWED


def judge_assignment(assignment: Assignment | None, project_id: str, now: datetime) -> Verdict:  # noqa: PLR0911 - one a rule
    """Why the project does not get the code, or ALLOWED if nothing is against it."""
    if assignment is None:
        return Verdict(ProjectNotFoundError, {"project_id": project_id})
    if assignment.project_code_id is not None:
        return Verdict(ProjectHasCodeError)
    if assignment.code_id is None:
        return Verdict(CodeUnknownError)
    if assignment.revoked_at is not None:
        return Verdict(CodeRevokedError)
    if assignment.expires_at is not None and assignment.expires_at <= now:
        return Verdict(CodeExpiredError, {"expires_at": assignment.expires_at.isoformat()})
    if assignment.use_count == assignment.max_uses:
        return Verdict(CodeUsedUpError, {"use_count": assignment.use_count, "max_uses": assignment.max_uses})
    return ALLOWED
