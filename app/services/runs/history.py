"""The runs of a project as its tenant and operators see them, newest first."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from app.context import Context
from app.errors import RunNotFoundError
from app.services.directory.lookup import tenant_id_for
from app.services.projects.details import any_project, own_project
from app.services.runs.records import ListedRun, ShownRun, Task
from app.services.runs.states import RunState
from sql.lists import run_list
from sql.statements import runs as statements
from sql.statements import tasks as task_statements

# Before the newest run.
NEWEST: Final = 2**62

_run_page = cache(run_list.run_page)


class RunPage(NamedTuple):
    """A page of runs; ``before`` is where the next one goes on, None on the last."""

    runs: list[ShownRun]
    before: int | None


class RunsOfAll(NamedTuple):
    """A page of the runs of all tenants; ``before`` is where the next one goes on, None on the last."""

    runs: list[ListedRun]
    before: int | None


class RunDetails(NamedTuple):
    """A run with its tasks in the order in which they were planned."""

    run: ShownRun
    tasks: list[Task]


async def own_runs(ctx: Context, project_id: str, *, before: int | None = None, page_size: int = 20) -> RunPage:
    """The runs of a project of the tenant whose session asks; raises ProjectNotFoundError."""
    project = await own_project(ctx, project_id)
    return await _runs(ctx, ctx.tenant_id, project.project_id, before, page_size)


async def runs_of(ctx: Context, project_id: str, *, before: int | None = None, page_size: int = 20) -> RunPage:
    """The runs of any tenant's project; raises ProjectNotFoundError."""
    tenant_id = await tenant_of(ctx, project_id)
    return RunPage([], None) if tenant_id is None else await _runs(ctx, tenant_id, project_id, before, page_size)


async def list_runs(
    ctx: Context,
    *,
    state: RunState | None = None,
    tenant_slug: str | None = None,
    project_id: str | None = None,
    before: int | None = None,
    page_size: int = 50,
) -> RunsOfAll:
    """The runs of all tenants or of one, newest first; whoever asks with a tenant's session gets that tenant's alone.

    Raises TenantNotFoundError, TenantMismatchError.
    """
    values: dict[str, Any] = {"before_id": before or NEWEST, "max_rows": page_size + 1}
    if state is not None:
        values["state"] = state
    if (tenant_id := await tenant_id_for(ctx, tenant_slug)) is not None:
        values["tenant_id"] = tenant_id
    if project_id is not None:
        values["project_id"] = project_id
    async with ctx.read() as conn:
        statement = _run_page(state is not None, tenant_id is not None, project_id is not None)
        found = await conn.many(statement, ListedRun, **values)
    page = found[:page_size]
    return RunsOfAll(page, page[-1].id if len(found) > page_size else None)


async def own_run(ctx: Context, project_id: str, run_id: int) -> RunDetails:
    """A run of a project of the tenant whose session asks; raises ProjectNotFoundError, RunNotFoundError."""
    project = await own_project(ctx, project_id)
    return await _run(ctx, ctx.tenant_id, project.project_id, run_id)


async def run_of(ctx: Context, project_id: str, run_id: int) -> RunDetails:
    """A run of any tenant's project; raises ProjectNotFoundError, RunNotFoundError."""
    tenant_id = await tenant_of(ctx, project_id)
    if tenant_id is None:
        raise RunNotFoundError(project_id=project_id, run_id=run_id)
    return await _run(ctx, tenant_id, project_id, run_id)


async def tenant_of(ctx: Context, project_id: str) -> int | None:
    """Whose project it is, None for an operator's own; raises ProjectNotFoundError."""
    return (await any_project(ctx, project_id)).tenant_id


async def _runs(ctx: Context, tenant_id: int, project_id: str, before: int | None, page_size: int) -> RunPage:
    key = {"tenant_id": tenant_id, "project_id": project_id}
    async with ctx.read() as conn:
        found = await conn.many(
            statements.runs_of_project, ShownRun, **key, before_id=before or NEWEST, max_rows=page_size + 1
        )
    page = found[:page_size]
    return RunPage(page, page[-1].id if len(found) > page_size else None)


async def _run(ctx: Context, tenant_id: int, project_id: str, run_id: int) -> RunDetails:
    key = {"tenant_id": tenant_id, "project_id": project_id}
    async with ctx.read() as conn:
        run = await conn.maybe(statements.run_of_project, ShownRun, **key, run_id=run_id)
        if run is None:
            raise RunNotFoundError(project_id=project_id, run_id=run_id)
        tasks = await conn.many(task_statements.tasks_of_run, Task, tenant_id=tenant_id, run_id=run_id)
    return RunDetails(run, tasks)
