"""Whose projects and tasks a caller sees: a tenant its own, an operator those of all."""

from __future__ import annotations

from typing import Any

from app.access.permissions import Permission
from app.context import Context
from app.errors import CallerNotSentError, PermissionDeniedError


class Seen:
    """The tenant whose rows a caller sees, None for those of all.

    Raises CallerNotSentError for whoever is neither a tenant nor an operator, PermissionDeniedError for an operator
    who may not read runs.
    """

    def __init__(self, ctx: Context) -> None:
        self.tenant_id = None if ctx.session is None else ctx.session.tenant_id
        if self.tenant_id is None:
            if ctx.actor.type not in {"operator", "program"}:
                raise CallerNotSentError
            if Permission.RUNS_READ not in ctx.actor.permissions:
                raise PermissionDeniedError(permission=Permission.RUNS_READ.value)

    @property
    def is_of_tenant(self) -> bool:
        """Whether it is only one tenant's."""
        return self.tenant_id is not None

    @property
    def key(self) -> dict[str, Any]:
        """The tenant as a statement's parameter, where there is one."""
        return {"tenant_id": self.tenant_id} if self.is_of_tenant else {}
