"""Watching a run, and following the runs of a tenant or of all tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from app.context import Context
from app.errors import NotYetRunError, ProjectNotFoundError, RunNotFoundError
from app.services.runs.history import run_of, tenant_of
from app.services.runs.run_events import Cursor, RunEvent
from app.services.runs.tail import Watcher
from app.services.runs.watches import Owner, Watches
from sql.statements import run_events as statements


class _WatchedRun(NamedTuple):
    """The run that is asked for, or nothing where the project has none."""

    run_id: int | None
    events: int | None
    is_running: bool | None


async def watch_own_run(ctx: Context, project_id: str, *, run_id: int | None = None, after: int = 0) -> Watcher[int]:
    """Watch a run of a project of the tenant whose session asks, the newest one or another, behind an event's number.

    A number that the run has not reached is of another run, and then this one is told from its beginning. Whoever
    watches closes the watcher in the end. Raises ProjectNotFoundError, NotYetRunError, RunNotFoundError,
    TooManyWatchersError, WatchersFullError.
    """
    key = {"tenant_id": ctx.tenant_id, "project_id": project_id}
    async with ctx.read() as conn:
        if run_id is None:
            found = await conn.maybe(statements.newest_run, _WatchedRun, **key)
        else:
            found = await conn.maybe(statements.run_by_id, _WatchedRun, **key, run_id=run_id)
    if found is None:
        raise ProjectNotFoundError(project_id=project_id)
    if found.run_id is None or found.events is None:
        if run_id is None:
            raise NotYetRunError(project_id=project_id)
        raise RunNotFoundError(project_id=project_id, run_id=run_id)
    place = after if after <= found.events else 0
    watches = ctx.runtime.part(Watches)
    return watches.watch_run(Owner.of(ctx), ctx.tenant_id, found.run_id, after=place, newest=found.events)


async def watch_run(ctx: Context, project_id: str, run_id: int) -> Watcher[int]:
    """Watch a run of any tenant's project from its beginning, for an operator; raises as ``watch_own_run``."""
    if (tenant_id := await tenant_of(ctx, project_id)) is None:
        raise RunNotFoundError(project_id=project_id, run_id=run_id)
    newest = (await run_of(ctx, project_id, run_id)).run.events
    return ctx.runtime.part(Watches).watch_run(Owner.of(ctx), tenant_id, run_id, after=0, newest=newest)


async def follow(
    ctx: Context,
    tenant_id: int | None = None,
    after: Cursor | None = None,
    wanted: Callable[[RunEvent], bool] | None = None,
) -> Watcher[Cursor]:
    """Follow the events of all runs of a tenant, or of all tenants, in an order that skips none.

    It begins behind the ``cursor`` of an event, or with what is new. Whoever follows closes the watcher in the end; it
    ends by itself with a tenant's session. Raises TooManyWatchersError, WatchersFullError.
    """
    return await ctx.runtime.part(Watches).follow_all(Owner.of(ctx), tenant_id, after, wanted)
