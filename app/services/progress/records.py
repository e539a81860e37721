"""Projects, tasks and agents as GraphQL shows them; a property is a field that follows from the others.

``cursor`` is where a record stands among what a subscription is told; it has none elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from app.services.runs.states import Figures


def agent_name(agent_type: str) -> str:
    """What people call a kind of agent."""
    return f"{agent_type.capitalize()} Agent"


def success_rate(completed: int, failed: int) -> float:
    """Per cent of the finished tasks that are completed, to two decimals; 0 where none is finished."""
    return Figures(completed + failed, completed, failed, 0).success_rate


class ProjectProgress(NamedTuple):
    """A project with the figures of its newest run; ``number`` is the id of its row."""

    number: int
    id: str
    tenant_id: int | None
    own_name: str
    client_name: str | None
    description: str | None
    custom_instructions: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    run_id: int | None
    run_started_at: datetime | None
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    cursor: str | None = None

    @property
    def name(self) -> str:
        """The client's name for it, or else its own."""
        return self.client_name or self.own_name

    @property
    def objective(self) -> str:
        """The objectives, or else the description."""
        return self.custom_instructions or self.description or ""

    @property
    def figures(self) -> Figures:
        """The tasks of the newest run by how they have ended."""
        return Figures(self.total_tasks, self.completed_tasks, self.failed_tasks, self.cancelled_tasks)

    @property
    def completion_percentage(self) -> float:
        """From the newest run's tasks; without any, from where the project stands."""
        if self.total_tasks:
            return float(self.figures.completion)
        return {"completed": 100.0, "running": 5.0}.get(self.status, 0.0)

    @property
    def success_rate(self) -> float:
        """Per cent of the finished tasks that are completed."""
        return self.figures.success_rate


class TaskProgress(NamedTuple):
    """A task with its project; ``newest_run_id`` is that of the project, which may be another run than the task's."""

    id: int
    tenant_id: int
    run_id: int
    project_id: str
    newest_run_id: int | None
    agent_type: str
    title: str
    description: str
    status: str
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    cursor: str | None = None

    @property
    def duration_seconds(self) -> int | None:
        """Whole seconds from its start to its completion."""
        if self.started_at is None or self.completed_at is None:
            return None
        return int((self.completed_at - self.started_at).total_seconds())


class AgentProgress(NamedTuple):
    """A kind of agent, in one project or in all."""

    id: str
    agent_type: str
    status: str
    health_score: float
    tasks_completed: int
    tasks_failed: int
    current_task_id: int | None
    last_activity: datetime

    @property
    def type(self) -> str:
        """The same as ``agent_type``."""
        return self.agent_type

    @property
    def name(self) -> str:
        """What people call it."""
        return agent_name(self.agent_type)

    @property
    def success_rate(self) -> float:
        """Per cent of its finished tasks that are completed."""
        return success_rate(self.tasks_completed, self.tasks_failed)


class Activity(NamedTuple):
    """Something that an agent has done; ``metadata`` is JSON."""

    id: str
    agent_type: str
    agent_id: str
    event_type: str
    message: str
    timestamp: datetime
    task_id: int | None
    metadata: str | None
    cursor: str | None = None
