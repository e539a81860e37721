"""Projects: a page of them, one of them, its agents and tasks, and creating one."""

from __future__ import annotations

from typing import Any

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.resolvers.context import Info
from app.resolvers.inputs import NewProject, at_most, read_input, skipped
from app.services.progress.agents import NewestRun
from app.services.progress.projects import list_projects
from app.services.progress.records import AgentProgress, ProjectProgress, TaskProgress
from app.services.progress.tasks import TaskList
from app.services.projects.creation import create_project

project_statuses = EnumType(
    "ProjectStatus",
    {
        "PLANNING": "pending",
        "IN_PROGRESS": "running",
        "COMPLETED": "completed",
        "FAILED": "failed",
        "ON_HOLD": "paused",
    },
)
query = QueryType()
mutation = MutationType()
project = ObjectType("Project")


@query.field("projects")
async def resolve_projects(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    limit: int,
    offset: int,
) -> list[ProjectProgress]:
    """A page of projects, newest first."""
    return await list_projects(info.context.ctx, **(filter or {}), limit=at_most(limit), offset=skipped(offset))


@query.field("project")
async def resolve_project(_: Any, info: Info, *, id: str) -> ProjectProgress | None:  # noqa: A002 - the argument's name
    """One project."""
    return await info.context.loaders.projects.load(id)


@mutation.field("createProject")
async def resolve_create_project(_: Any, info: Info, *, input: dict[str, Any]) -> ProjectProgress | None:  # noqa: A002 - the argument's name
    """Create a project."""
    created = await create_project(info.context.ctx, **read_input(input, NewProject).described)
    return await info.context.loaders.projects.load(created.project_id)


@project.field("agents")
async def resolve_agents(of: ProjectProgress, info: Info) -> list[AgentProgress]:
    """The agents of its newest run, and those with settings of their own."""
    return await info.context.loaders.agents_of_projects.load(NewestRun(of.tenant_id, of.id, of.run_id))


@project.field("tasks")
async def resolve_tasks(of: ProjectProgress, info: Info, *, status: str | None, limit: int) -> list[TaskProgress]:
    """Its tasks."""
    asked = TaskList(of.tenant_id, of.id, of.number, of.run_id, status, at_most(limit))
    return await info.context.loaders.tasks_of_projects.load(asked)


@project.field("estimatedTimeRemainingSeconds")
async def resolve_remaining_seconds(of: ProjectProgress, info: Info) -> int | None:
    """How long its run may still take."""
    return await info.context.loaders.remaining_seconds.load(of)
