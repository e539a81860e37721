"""Agents as GraphQL shows them: the kinds that have had tasks, and those of many projects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.services.progress.figures import read_figures
from app.services.progress.records import AgentProgress
from sql.statements import progress as statements


class Work(NamedTuple):
    """What a kind of agent has done in a project's newest run; ``running_task_id`` only while the run goes on."""

    project_id: str
    agent_type: str
    tasks_completed: int
    tasks_failed: int
    running_task_id: int | None
    changed_at: datetime


class OwnSettings(NamedTuple):
    """That a kind of agent has settings of its own in a project."""

    project_id: str
    agent_type: str
    enabled: bool
    updated_at: datetime


class NewestRun(NamedTuple):
    """A project and its newest run."""

    tenant_id: int | None
    project_id: str
    run_id: int | None


async def list_agents(ctx: Context, *, agent_type: str | None = None, min_health: float = 0) -> list[AgentProgress]:
    """The kinds of agents that have had tasks of the caller's, by their names."""
    agents = [
        AgentProgress(
            id=f"agent-{found.agent_type}",
            agent_type=found.agent_type,
            status="active" if found.running_task_id is not None else "idle",
            health_score=round(100 * found.completed / found.total, 2),
            tasks_completed=found.completed,
            tasks_failed=found.failed,
            current_task_id=found.running_task_id,
            last_activity=found.changed_at,
        )
        for found in await read_figures(ctx)
    ]
    return [
        agent
        for agent in agents
        if agent_type in {None, agent.agent_type} and (min_health <= 0 or agent.health_score >= min_health)
    ]


async def agents_of_projects(ctx: Context, projects: Sequence[NewestRun]) -> list[list[AgentProgress]]:
    """The agents of each project's newest run and those with settings of their own, by their types.

    Two statements, however many projects there are.
    """
    batch = as_batch([project._asdict() for project in projects])
    named = as_batch([{"project_id": project.project_id} for project in projects])
    async with ctx.read() as conn:
        works = await conn.many(statements.agents_of_runs, Work, batch=batch)
        settings = await conn.many(statements.agents_with_settings, OwnSettings, batch=named)
    by_project: defaultdict[str, dict[str, AgentProgress]] = defaultdict(dict)
    own = {(one.project_id, one.agent_type): one for one in settings}
    for one in settings:
        by_project[one.project_id][one.agent_type] = _idle(one)
    for work in works:
        by_project[work.project_id][work.agent_type] = _working(work, own.get((work.project_id, work.agent_type)))
    return [[agent for _, agent in sorted(by_project[project.project_id].items())] for project in projects]


def _idle(settings: OwnSettings) -> AgentProgress:
    """An agent that has had no task in the newest run."""
    agent_id = f"{settings.project_id}-{settings.agent_type}"
    return AgentProgress(agent_id, settings.agent_type, "idle", 0.0, 0, 0, None, settings.updated_at)


def _working(work: Work, settings: OwnSettings | None) -> AgentProgress:
    is_active = work.running_task_id is not None and (settings is None or settings.enabled)
    finished = work.tasks_completed + work.tasks_failed
    health = round(100 * work.tasks_completed / finished, 2) if finished else 100.0 if is_active else 0.0
    return AgentProgress(
        id=f"{work.project_id}-{work.agent_type}",
        agent_type=work.agent_type,
        status="active" if is_active else "idle",
        health_score=health,
        tasks_completed=work.tasks_completed,
        tasks_failed=work.tasks_failed,
        current_task_id=work.running_task_id,
        last_activity=work.changed_at,
    )
