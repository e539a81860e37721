"""Cancelling a run: it ends at once, and whoever works on one of its tasks stops and commits nothing more."""

from __future__ import annotations

from typing import NamedTuple

from app.context import Context
from app.errors import NothingRunsError, UnknownRunError
from app.services.projects.details import Project, any_project, own_project
from app.services.runs.moves import RunEndedError, moving
from sql.statements import runs as statements


class _Place(NamedTuple):
    """Whose run it is."""

    project_id: str
    tenant_id: int


async def cancel_own_run(ctx: Context, project_id: str) -> int:
    """Cancel the run of a project of the tenant whose session asks; raises as ``cancel_run``."""
    return await _cancel(ctx, await own_project(ctx, project_id))


async def cancel_run(ctx: Context, project_id: str) -> int:
    """Cancel the run of any tenant's project; answers the run's id.

    The run counts if its first task has started; before that it is given back. Raises ProjectNotFoundError,
    NothingRunsError.
    """
    return await _cancel(ctx, await any_project(ctx, project_id))


async def cancel_run_by_id(ctx: Context, run_id: int) -> str:
    """Cancel this run; answers the project's id. With a tenant's session there are only that tenant's runs.

    Raises UnknownRunError, NothingRunsError.
    """
    async with ctx.read() as conn:
        place = await conn.maybe(statements.place_of_run, _Place, run_id=run_id)
    if place is None or (ctx.session is not None and place.tenant_id != ctx.session.tenant_id):
        raise UnknownRunError(run_id=run_id)
    await _stop(ctx, place.tenant_id, run_id, place.project_id)
    return place.project_id


async def _cancel(ctx: Context, project: Project) -> int:
    if project.tenant_id is None or project.run_id is None or project.execution_status != "running":
        raise NothingRunsError(project_id=project.project_id)
    await _stop(ctx, project.tenant_id, project.run_id, project.project_id)
    return project.run_id


async def _stop(ctx: Context, tenant_id: int, run_id: int, project_id: str) -> None:
    try:
        async with moving(ctx, tenant_id, run_id) as move:
            await move.stop("cancelled", f"{ctx.actor.name} has cancelled the run.")
    except RunEndedError:
        raise NothingRunsError(project_id=project_id) from None
