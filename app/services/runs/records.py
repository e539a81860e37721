"""A run and its tasks as they are stored, and as events and answers show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import orjson

from app.services.runs.states import Figures, RunState, TaskState, TaskStatus


class Task(NamedTuple):
    """A task; ``needs`` and ``outputs`` are JSON."""

    id: int
    key: str
    agent_type: str
    name: str
    description: str
    priority: int
    needs: str
    qa_round: int
    status: TaskStatus
    ready_at: datetime | None
    holder: str | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    outputs: str | None

    @property
    def state(self) -> TaskState:
        """The part on which the course of its run depends."""
        return TaskState(self.id, self.key, self.status, tuple(orjson.loads(self.needs)), self.ready_at is not None)

    def shown(self) -> dict[str, Any]:
        """The task as watchers see it; the process that holds it is nobody's business."""
        return {
            "id": self.id,
            "key": self.key,
            "agentType": self.agent_type,
            "name": self.name,
            "description": self.description,
            "priority": self.priority,
            "needs": orjson.loads(self.needs),
            "qaRound": self.qa_round,
            "status": self.status,
            "attempt": self.attempt,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "completedAt": self.ended_at if self.status == "completed" else None,
            "endedAt": self.ended_at,
            "error": self.error,
        }


class Run(NamedTuple):
    """A run that is locked for a move; ``brief`` is JSON."""

    id: int
    tenant_id: int
    project_number: int
    project_id: str
    project_name: str
    state: RunState
    brief: str
    reservation_id: int
    counted_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    events: int
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int

    @property
    def figures(self) -> Figures:
        """Its tasks by how they have ended."""
        return Figures(self.total_tasks, self.completed_tasks, self.failed_tasks, self.cancelled_tasks)


class ShownRun(NamedTuple):
    """A run as its tenant and operators see it."""

    id: int
    project_id: str
    state: RunState
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    counted_at: datetime | None
    error: str | None
    events: int
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int

    @property
    def figures(self) -> Figures:
        """Its tasks by how they have ended."""
        return Figures(self.total_tasks, self.completed_tasks, self.failed_tasks, self.cancelled_tasks)


class ListedRun(NamedTuple):
    """A run as lists of many tenants' runs show it: with its tenant before what ``ShownRun`` says."""

    tenant_id: int
    tenant_slug: str
    id: int
    project_id: str
    state: RunState
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    counted_at: datetime | None
    error: str | None
    events: int
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int

    @property
    def run(self) -> ShownRun:
        """The run without its tenant."""
        return ShownRun._make(self[2:])

    @property
    def figures(self) -> Figures:
        """Its tasks by how they have ended."""
        return Figures(self.total_tasks, self.completed_tasks, self.failed_tasks, self.cancelled_tasks)

    @property
    def counts(self) -> bool:
        """Whether it counts as a run of its month: its first task has started."""
        return self.counted_at is not None

    @property
    def completion_percentage(self) -> int:
        """Per cent of the tasks that have ended by themselves."""
        return self.figures.completion

    @property
    def quality_percentage(self) -> float:
        """Per cent of the tasks that are completed."""
        return self.figures.quality


def shown_run(run_id: int, state: RunState, figures: Figures, error: str | None) -> dict[str, Any]:
    """The run as its watchers see it beside each event."""
    return {
        "id": run_id,
        "state": state,
        "totalTasks": figures.total,
        "completedTasks": figures.completed,
        "failedTasks": figures.failed,
        "cancelledTasks": figures.cancelled,
        "completionPercentage": figures.completion,
        "qualityPercentage": figures.quality,
        "error": error,
    }
