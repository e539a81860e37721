"""What subscriptions are told: the kept events of runs as activities, tasks and projects, each once and in order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import orjson

from app.context import Context
from app.database.connections import as_batch
from app.errors import ProjectNotFoundError, SessionInvalidError, ShuttingDownError, UnavailableError
from app.runtime import Coalesced, Runtime
from app.services.progress.places import cursor_at, text_of
from app.services.progress.projects import projects_by_id
from app.services.progress.records import Activity, ProjectProgress, TaskProgress
from app.services.progress.visible import Seen
from app.services.runs.run_events import Cursor, RunEvent
from app.services.runs.tail import Watcher
from app.services.runs.watching import follow
from sql.statements import progress as statements

Told = TypeVar("Told")

# How many runs' projects a worker remembers; a run never changes its project.
REMEMBERED: Final = 10_000
# How a project stands while its run stands so.
_STATUSES: Final = {"running": "running", "completed": "completed"}


class Updates(Generic[Told]):
    """What one subscription is told; it keeps a few events at most, and whoever is slow loses none.

    It ends with an error: SessionInvalidError, ShuttingDownError, UnavailableError.
    """

    def __init__(self, watcher: Watcher[Cursor], tell: Callable[[Sequence[RunEvent]], Awaitable[list[Told]]]) -> None:
        self._watcher = watcher
        self._tell = tell
        self._waiting: deque[Told] = deque()

    def __aiter__(self) -> Self:
        """Itself: what was told is not told again."""
        return self

    async def __anext__(self) -> Told:
        """The next one, whenever it comes."""
        while not self._waiting:
            if not (events := await self._watcher.next()):
                raise _end_of(self._watcher.end)
            self._waiting.extend(await self._tell(events))
        return self._waiting.popleft()

    def close(self) -> None:
        """Nobody listens any more; may be called again."""
        self._watcher.close()


def _end_of(end: str | None) -> Exception:
    if end == "session_ended":
        return SessionInvalidError()
    return ShuttingDownError() if end == "stopping" else UnavailableError()


class _Of(NamedTuple):
    """An event with its task and its run as they were then, and its project."""

    event: RunEvent
    project_id: str
    run: dict[str, Any]
    task: dict[str, Any]


class RunProjects:
    """Which project a run is of, remembered for all subscriptions of a process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: OrderedDict[int, str] = OrderedDict()

    async def of(self, events: Sequence[RunEvent]) -> dict[int, str]:
        """The ids of projects by runs; a run that is gone has none."""
        found: dict[int, str] = {}
        for run_id, tenant_id in {event.run_id: event.tenant_id for event in events}.items():
            project_id = self._known.get(run_id)
            if project_id is None:
                project_id = await self._runtime.coalescer(_PROJECTS).ask((tenant_id, run_id))
                if project_id is None:
                    continue
                self._known[run_id] = project_id
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            found[run_id] = project_id
        return found


async def _read_projects(runtime: Runtime, keys: Sequence[tuple[int, int]]) -> list[str | None]:
    batch = as_batch([{"tenant_id": tenant_id, "run_id": run_id} for tenant_id, run_id in set(keys)])
    async with runtime.db.read() as conn:
        rows = {row.run_id: row.project_id for row in await conn.rows(statements.projects_of_runs, batch=batch)}
    return [rows.get(run_id) for _, run_id in keys]


_PROJECTS = Coalesced("run_project", _read_projects)


async def agent_activity(
    ctx: Context, *, agent_type: str | None = None, project_id: str | None = None, after: str | None = None
) -> Updates[Activity]:
    """What agents do; raises as ``task_updates``."""

    async def tell(events: Sequence[RunEvent]) -> list[Activity]:
        found = await _read(ctx, events, project_id)
        return [_activity(of) for of in found if agent_type in {None, of.task["agentType"]}]

    return Updates(await _followed(ctx, project_id, after, _is_of_task), tell)


async def task_updates(
    ctx: Context, *, project_id: str | None = None, after: str | None = None
) -> Updates[TaskProgress]:
    """Tasks as they change.

    Raises CallerNotSentError, PermissionDeniedError, ProjectNotFoundError, ValidationError for a cursor that is none,
    TooManyWatchersError, WatchersFullError, ShuttingDownError.
    """

    async def tell(events: Sequence[RunEvent]) -> list[TaskProgress]:
        return [_task(of) for of in await _read(ctx, events, project_id)]

    return Updates(await _followed(ctx, project_id, after, _is_of_task), tell)


async def project_updates(ctx: Context, *, project_id: str, after: str | None = None) -> Updates[ProjectProgress]:
    """A project whenever something happens in its runs; raises as ``task_updates``."""

    async def tell(events: Sequence[RunEvent]) -> list[ProjectProgress]:
        if not (found := await _read(ctx, events, project_id)):
            return []
        (project,) = await projects_by_id(ctx, [project_id])
        return [] if project is None else [_project(project, of) for of in found]

    return Updates(await _followed(ctx, project_id, after, None), tell)


async def check_project(ctx: Context, project_id: str | None) -> None:
    """Raise ProjectNotFoundError for a project that the caller does not see."""
    if project_id is not None and await projects_by_id(ctx, [project_id]) == [None]:
        raise ProjectNotFoundError(project_id=project_id)


async def _followed(
    ctx: Context, project_id: str | None, after: str | None, wanted: Callable[[RunEvent], bool] | None
) -> Watcher[Cursor]:
    seen = Seen(ctx)
    place = None if after is None else cursor_at(after)
    await check_project(ctx, project_id)
    return await follow(ctx, seen.tenant_id, place, wanted)


def _is_of_task(event: RunEvent) -> bool:
    return event.task_id is not None


async def _read(ctx: Context, events: Sequence[RunEvent], project_id: str | None) -> list[_Of]:
    """The events of runs that are still there, of all projects or of one."""
    projects = await ctx.runtime.part(RunProjects).of(events)
    found = []
    for event in events:
        of_project = projects.get(event.run_id)
        if of_project is not None and project_id in {None, of_project}:
            data = orjson.loads(event.data)
            found.append(_Of(event, of_project, data["run"], data["task"]))
    return found


def _activity(of: _Of) -> Activity:
    event, agent_type = of.event, of.task["agentType"]
    return Activity(
        id=f"{event.run_id}-{event.number}",
        agent_type=agent_type,
        agent_id=f"{of.project_id}-{agent_type}",
        event_type=event.kind,
        message=event.message,
        timestamp=event.created_at,
        task_id=event.task_id,
        metadata=orjson.dumps({"run": of.run, "attempt": of.task["attempt"]}).decode(),
        cursor=text_of(event.cursor),
    )


def _task(of: _Of) -> TaskProgress:
    """The task as it was; its agent is that of the event's run."""
    event, task = of.event, of.task
    return TaskProgress(
        id=task["id"],
        tenant_id=event.tenant_id,
        run_id=event.run_id,
        project_id=of.project_id,
        newest_run_id=event.run_id,
        agent_type=task["agentType"],
        title=task["name"],
        description=task["description"],
        status=task["status"],
        priority=task["priority"],
        created_at=datetime.fromisoformat(task["createdAt"]),
        started_at=_moment(task["startedAt"]),
        completed_at=_moment(task["completedAt"]),
        error_message=task["error"],
        cursor=text_of(event.cursor),
    )


def _project(project: ProjectProgress, of: _Of) -> ProjectProgress:
    """The project with the figures that the event's run had then."""
    event, run = of.event, of.run
    return project._replace(
        status=_STATUSES.get(run["state"], "failed"),
        run_id=event.run_id,
        run_started_at=project.run_started_at if project.run_id == event.run_id else None,
        total_tasks=run["totalTasks"],
        completed_tasks=run["completedTasks"],
        failed_tasks=run["failedTasks"],
        cancelled_tasks=run["cancelledTasks"],
        cursor=text_of(event.cursor),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
