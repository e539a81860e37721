"""Tasks: a page of them, what each belongs to, and changing one."""

from __future__ import annotations

from typing import Any, cast

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.resolvers.context import AgentOfProject, Info
from app.resolvers.inputs import TaskChange, at_most, read_input, skipped
from app.services.progress.agents import NewestRun
from app.services.progress.records import AgentProgress, ProjectProgress, TaskProgress
from app.services.progress.tasks import list_tasks, task_by_id, task_number
from app.services.runs.states import TaskStatus
from app.services.runs.task_changes import change_task

task_statuses = EnumType(
    "TaskStatus",
    {
        "PENDING": "pending",
        "IN_PROGRESS": "running",
        "COMPLETED": "completed",
        "FAILED": "failed",
        "CANCELLED": "cancelled",
    },
)
query = QueryType()
mutation = MutationType()
task = ObjectType("Task")


@query.field("tasks")
async def resolve_tasks(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    limit: int,
    offset: int,
) -> list[TaskProgress]:
    """A page of tasks, newest first."""
    return await list_tasks(info.context.ctx, **(filter or {}), limit=at_most(limit), offset=skipped(offset))


@mutation.field("updateTask")
async def resolve_update_task(_: Any, info: Info, *, input: dict[str, Any]) -> TaskProgress:  # noqa: A002 - the argument's name
    """Change how a task stands."""
    change = read_input(input, TaskChange)
    status = cast("TaskStatus | None", change.status)
    await change_task(info.context.ctx, task_number(change.task_id), status=status, error=change.error_message)
    return await task_by_id(info.context.ctx, change.task_id)


@task.field("project")
async def resolve_project(of: TaskProgress, info: Info) -> ProjectProgress | None:
    """The project that it is for."""
    return await info.context.loaders.projects.load(of.project_id)


@task.field("agent")
async def resolve_agent(of: TaskProgress, info: Info) -> AgentProgress | None:
    """The agent that does it."""
    project = NewestRun(of.tenant_id, of.project_id, of.newest_run_id)
    return await info.context.loaders.agents.load(AgentOfProject(project, of.agent_type))
