"""Runs: pages of them, what belongs to each, and starting, restarting and cancelling one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.cursors import cursor_of
from app.resolvers.connections import Connection, Slice, by_id
from app.resolvers.context import Info
from app.resolvers.inputs import row_id
from app.resolvers.problems import Payload, changing
from app.services.figures.totals import Total
from app.services.progress.records import ProjectProgress, TaskProgress
from app.services.progress.runs import EventsOfRun, RunsOfProject, TasksOfRun
from app.services.runs import cancellation, history, start
from app.services.runs.history import NEWEST
from app.services.runs.records import ListedRun
from app.services.runs.run_events import LAST_NUMBER, RunEvent
from app.services.tenants.details import TenantDetails
from sql.tables.runs import RUN_EVENT_KINDS, RUN_STATES

run_states = EnumType("RunState", {name.upper(): name for name in RUN_STATES})
event_kinds = EnumType("RunEventKind", {name.upper(): name for name in RUN_EVENT_KINDS})
query = QueryType()
mutation = MutationType()
project = ObjectType("Project")
run = ObjectType("Run")
task = ObjectType("Task")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPayload(Payload):
    """What a change of a run answers."""

    run: ListedRun | None = None


@query.field("runs")
async def resolve_runs(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    first: int,
    after: str | None,
) -> Connection[ListedRun]:
    """A page of runs, newest first."""
    page = Slice.asked(first, after)
    before = None if page.place_by_id is None else page.place_by_id[1]
    found = await history.list_runs(info.context.ctx, **(filter or {}), before=before, page_size=page.wanted)
    return page.connection(found.runs, by_id)


@query.field("run")
async def resolve_run(_: Any, info: Info, *, id: str) -> ListedRun | None:  # noqa: A002 - the argument's name
    """One run."""
    return await info.context.loaders.runs.by_id.load(row_id(id))


@project.field("runs")
async def resolve_runs_of_project(
    of: ProjectProgress, info: Info, *, state: str | None, first: int, after: str | None
) -> Connection[ListedRun]:
    """A page of its runs, newest first."""
    page = Slice.asked(first, after)
    before = NEWEST if page.place_by_id is None else page.place_by_id[1]
    asked = RunsOfProject(of.tenant_id, of.number, state, before, page.wanted)
    return page.connection(await info.context.loaders.runs.of_projects.load(asked), by_id)


@run.field("project")
async def resolve_project(of: ListedRun, info: Info) -> ProjectProgress | None:
    """The project that is built."""
    return await info.context.loaders.projects.load(of.project_id)


@run.field("tenant")
async def resolve_tenant(of: ListedRun, info: Info) -> TenantDetails | None:
    """The project's tenant."""
    return await info.context.loaders.licensing.tenants.load(of.tenant_slug)


@task.field("run")
async def resolve_run_of_task(of: TaskProgress, info: Info) -> ListedRun | None:
    """The run that it is a part of."""
    return await info.context.loaders.runs.by_id.load(of.run_id)


@run.field("tasks")
async def resolve_tasks(
    of: ListedRun, info: Info, *, status: str | None, first: int, after: str | None
) -> Connection[TaskProgress]:
    """A page of its tasks as they were planned."""
    page = Slice.asked(first, after)
    behind = 0 if page.place_by_id is None else page.place_by_id[1]
    asked = TasksOfRun(of.tenant_id, of.id, status, behind, page.wanted)
    return page.connection(await info.context.loaders.runs.tasks.load(asked), by_id)


@run.field("events")
async def resolve_events(of: ListedRun, info: Info, *, first: int, after: str | None) -> Connection[RunEvent]:
    """A page of its events by their numbers."""
    page = Slice.asked(first, after)
    behind = 0 if page.place_by_id is None else min(page.place_by_id[1], LAST_NUMBER)
    asked = EventsOfRun(of.tenant_id, of.id, behind, behind + page.wanted)
    return page.connection(await info.context.loaders.runs.events.load(asked), _by_number, Total(of.events))


def _by_number(event: RunEvent) -> str:
    return cursor_of((0, event.number))


@mutation.field("startRun")
@changing(RunPayload)
async def resolve_start_run(_: Any, info: Info, *, input: dict[str, Any]) -> RunPayload:  # noqa: A002 - the argument's name
    """Start a run of a project."""
    started = await start.start_own_run(info.context.ctx, input["project_id"])
    return RunPayload(run=await info.context.loaders.runs.by_id.load(started.run_id))


@mutation.field("restartRun")
@changing(RunPayload)
async def resolve_restart_run(_: Any, info: Info, *, input: dict[str, Any]) -> RunPayload:  # noqa: A002 - the argument's name
    """Run a project again."""
    started = await start.start_own_run(info.context.ctx, input["project_id"], is_restart=True)
    return RunPayload(run=await info.context.loaders.runs.by_id.load(started.run_id))


@mutation.field("cancelRun")
@changing(RunPayload)
async def resolve_cancel_run(_: Any, info: Info, *, input: dict[str, Any]) -> RunPayload:  # noqa: A002 - the argument's name
    """End a run."""
    number = row_id(input["run_id"], "runId")
    await cancellation.cancel_run_by_id(info.context.ctx, number)
    return RunPayload(run=await info.context.loaders.runs.by_id.load(number))
