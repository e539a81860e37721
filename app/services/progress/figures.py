"""What the projects and tasks that a caller sees come to: by kind of agent, for the dashboard, and right now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple

from app.context import Context
from app.services.progress.records import Activity, TaskProgress, agent_name
from app.services.progress.visible import Seen
from app.telemetry.host import host_load
from sql.statements import progress as statements

# How many completed tasks the dashboard tells of.
RECENT: Final = 5

_figures_by_agent = cache(statements.figures_by_agent)
_project_counts = cache(statements.project_counts)
_newly_completed = cache(statements.newly_completed)


class AgentFigures(NamedTuple):
    """What the tasks of one kind of agent come to; ``seconds`` is how long all completed ones took together."""

    agent_type: str
    total: int
    completed: int
    failed: int
    active: int
    completed_today: int
    failed_today: int
    seconds: float
    running_task_id: int | None
    changed_at: datetime


class ProjectCounts(NamedTuple):
    """How many projects there are, and how many of them run."""

    total: int
    active: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What it all comes to; ``recent_activities`` is asked for by itself."""

    total_projects: int
    active_projects: int
    total_tasks: int
    active_tasks: int
    completed_tasks_today: int
    average_success_rate: float
    most_active_agent: str | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """How agents and this host get on."""

    timestamp: datetime
    active_agents: int
    active_tasks: int
    tasks_completed_today: int
    tasks_failed_today: int
    average_task_duration_seconds: float
    system_health_score: float
    cpu_usage_percent: float
    memory_usage_percent: float
    cursor: str | None = None


async def read_figures(ctx: Context, project_id: str | None = None) -> list[AgentFigures]:
    """The figures of each kind of agent, over all that the caller sees or over one project."""
    seen = Seen(ctx)
    values = {**seen.key, "midnight": _midnight(ctx.now())}
    if project_id is not None:
        values["project_id"] = project_id
    async with ctx.read() as conn:
        statement = _figures_by_agent(seen.is_of_tenant, project_id is not None)
        return await conn.many(statement, AgentFigures, **values)


async def dashboard(ctx: Context) -> Dashboard:
    """What the caller's projects and tasks come to; two statements."""
    seen = Seen(ctx)
    figures = await read_figures(ctx)
    async with ctx.read() as conn:
        counts = await conn.one(_project_counts(seen.is_of_tenant), ProjectCounts, **seen.key)
    completed, failed = sum(one.completed for one in figures), sum(one.failed for one in figures)
    most = max(figures, key=lambda one: one.completed, default=None)
    return Dashboard(
        total_projects=counts.total,
        active_projects=counts.active,
        total_tasks=sum(one.total for one in figures),
        active_tasks=sum(one.active for one in figures),
        completed_tasks_today=sum(one.completed_today for one in figures),
        average_success_rate=float(round(100 * completed / (completed + failed))) if completed + failed else 0.0,
        most_active_agent=most.agent_type if most is not None and most.completed else None,
    )


async def recent_activities(ctx: Context) -> list[Activity]:
    """The tasks that were completed last, the last one first."""
    seen = Seen(ctx)
    async with ctx.read() as conn:
        tasks = await conn.many(_newly_completed(seen.is_of_tenant), TaskProgress, **seen.key, max_rows=RECENT)
    return [_completion(task) for task in tasks]


def _completion(task: TaskProgress) -> Activity:
    return Activity(
        id=str(task.id),
        agent_type=task.agent_type,
        agent_id=f"{task.project_id}-{task.agent_type}",
        event_type="task_completed",
        message=f"{agent_name(task.agent_type)} completed: {task.title}",
        timestamp=task.completed_at or task.created_at,
        task_id=task.id,
        metadata=None,
    )


async def system_metrics(ctx: Context, project_id: str | None = None) -> Metrics:
    """How the agents of all that the caller sees, or of one project, and this host get on; one statement."""
    figures = await read_figures(ctx, project_id)
    host = await host_load()
    completed, failed = sum(one.completed for one in figures), sum(one.failed for one in figures)
    return Metrics(
        timestamp=ctx.now(),
        active_agents=sum(one.active > 0 for one in figures),
        active_tasks=sum(one.active for one in figures),
        tasks_completed_today=sum(one.completed_today for one in figures),
        tasks_failed_today=sum(one.failed_today for one in figures),
        average_task_duration_seconds=round(sum(one.seconds for one in figures) / completed, 2) if completed else 0.0,
        system_health_score=round(100 * completed / (completed + failed), 2) if completed + failed else 100.0,
        cpu_usage_percent=host.cpu_percent,
        memory_usage_percent=host.memory_percent,
    )


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
