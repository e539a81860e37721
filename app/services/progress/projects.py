"""Projects with the figures of their newest runs: a page, many by their ids, and how long they may still take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from app.context import Context
from app.database.connections import as_batch
from app.runtime import Coalesced, Runtime
from app.services.progress.records import ProjectProgress
from app.services.progress.visible import Seen
from sql.lists import progress_list
from sql.patterns import contains
from sql.statements import progress as statements

# Of what is finished, in per cent, where nothing is: so that nobody divides by zero.
LEAST_COMPLETION: Final = 0.1
# What the answer's whole numbers can hold.
MAX_SECONDS: Final = 2**31 - 1

_project_page = cache(progress_list.project_page)


async def list_projects(
    ctx: Context,
    *,
    status: str | None = None,
    name_contains: str | None = None,
    created_after: datetime | None = None,
    limit: int,
    offset: int,
) -> list[ProjectProgress]:
    """A page of the projects that the caller sees, newest first."""
    seen = Seen(ctx)
    values: dict[str, Any] = {**seen.key, "page_size": limit, "skip": offset}
    if status is not None:
        values["status"] = status
    if name_contains:
        values["pattern"] = contains(name_contains)
    if created_after is not None:
        values["created_after"] = created_after
    chosen = (status is not None, bool(name_contains), created_after is not None)
    async with ctx.read() as conn:
        return await conn.many(_project_page(seen.is_of_tenant, *chosen), ProjectProgress, **values)


async def projects_by_id(ctx: Context, project_ids: Sequence[str]) -> list[ProjectProgress | None]:
    """The projects with these ids that the caller sees, in the order of the ids."""
    tenant_id = Seen(ctx).tenant_id
    if tenant_id is None:
        batch = as_batch([{"project_id": project_id} for project_id in project_ids])
        async with ctx.read() as conn:
            found = await conn.many(statements.projects_by_id, ProjectProgress, batch=batch)
        by_id = {project.id: project for project in found}
        return [by_id.get(project_id) for project_id in project_ids]
    keys = [(tenant_id, project_id) for project_id in project_ids]
    # Many fill a statement of their own; a single one shares it with those of other requests.
    if len(keys) == 1:
        return [await ctx.runtime.coalescer(_OF_TENANTS).ask(keys[0])]
    return await _read_of_tenants(ctx.runtime, keys)


async def _read_of_tenants(runtime: Runtime, keys: Sequence[tuple[int, str]]) -> list[ProjectProgress | None]:
    batch = as_batch([{"tenant_id": tenant_id, "project_id": project_id} for tenant_id, project_id in set(keys)])
    async with runtime.db.read() as conn:
        found = await conn.many(statements.projects_of_tenants, ProjectProgress, batch=batch)
    by_key = {(project.tenant_id, project.id): project for project in found}
    return [by_key.get(key) for key in keys]


_OF_TENANTS = Coalesced("project", _read_of_tenants)


async def remaining_seconds(ctx: Context, projects: Sequence[ProjectProgress]) -> list[int | None]:
    """How long the runs of these projects may still take, None where nothing runs or nothing is known.

    As many of the project's mean task as are open; before any was completed, what has passed in proportion.
    """
    going_on = [project for project in projects if project.status == "running" and project.total_tasks]
    batch = as_batch([{"tenant_id": project.tenant_id, "number": project.number} for project in going_on])
    async with ctx.read() as conn:
        means = {row.number: row.seconds for row in await conn.rows(statements.mean_seconds, batch=batch)}
    now, are_going_on = ctx.now(), {project.number for project in going_on}
    return [
        _remaining(project, means.get(project.number), now) if project.number in are_going_on else None
        for project in projects
    ]


def _remaining(project: ProjectProgress, mean: float | None, now: datetime) -> int | None:
    if mean is not None:
        seconds = float(mean) * project.figures.open
    elif project.run_started_at is not None:
        elapsed = (now - project.run_started_at).total_seconds()
        seconds = elapsed / max(LEAST_COMPLETION, project.completion_percentage) * 100 - elapsed
    else:
        return None
    return min(MAX_SECONDS, max(0, round(seconds)))
