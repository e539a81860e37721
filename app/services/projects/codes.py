"""Giving a project its activation code: one transaction that takes a use of the code, or nothing.

The situation is read first, and a pure rule says what is against it; whoever has lost a race since is refused by a
guard, and the situation is read again.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.errors import OverloadedError
from app.events import Event, EventType, record
from app.services.licensing import code_text
from app.services.projects.details import Project, own_project_on
from app.services.projects.rules import Assignment, judge_assignment
from sql.statements import projects as statements

# Races resolve at the second try; more would mean that guards and rule disagree.
TRIES = 5
NO_CODE = b""


class _UsedCode(NamedTuple):
    """A code of which a use was taken."""

    id: int
    hint: str


class _GuardRefusedError(Exception):
    """A guard has refused: the transaction is rolled back, and why is read again."""


async def assign_code(ctx: Context, project_id: str, activation_code: str) -> Project:
    """Give a project of the tenant whose session asks one of the tenant's codes, and take a use of that.

    Raises ProjectNotFoundError, or a CodeError: the project has a code, or the code is unknown, revoked, expired or
    used up.
    """
    code = code_text.normalize(activation_code)
    code_hash = NO_CODE if code is None else ctx.runtime.keys.code_hash(code)
    for _ in range(TRIES):
        now = ctx.now()
        judge_assignment(await _look(ctx, project_id, code_hash), project_id, now).enforce()
        with contextlib.suppress(_GuardRefusedError):
            return await _assign(ctx, project_id, code_hash, now)
    raise OverloadedError


async def _assign(ctx: Context, project_id: str, code_hash: bytes, now: datetime) -> Project:
    tenant_id = ctx.tenant_id
    async with ctx.write() as conn:
        code = await conn.maybe(
            statements.use_code_for_project, _UsedCode, of_tenant_id=tenant_id, of_code_hash=code_hash, now=now
        )
        if code is None:
            raise _GuardRefusedError
        key = {"of_tenant_id": tenant_id, "of_project_id": project_id}
        if not await conn.affected(statements.set_code_of_project, **key, code_id=code.id, now=now):
            raise _GuardRefusedError
        title = f"Code …{code.hint} assigned to project {project_id}"
        event = Event(EventType.CODE_ASSIGNED, title, tenant_id=tenant_id, code_id=code.id, project_id=project_id)
        await record(conn, ctx, event)
        return await own_project_on(conn, ctx, project_id)


async def _look(ctx: Context, project_id: str, code_hash: bytes) -> Assignment | None:
    key = {"tenant_id": ctx.tenant_id, "project_id": project_id}
    async with ctx.read() as conn:
        return await conn.maybe(statements.assignment_situation, Assignment, **key, code_hash=code_hash)
