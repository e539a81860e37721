"""A run and its tasks as answers show them, for operators and for its tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import Field

from app.contract.camel import CAMEL
from app.services.runs.records import ShownRun, Task
from sql.bounds import MAX_ID

Before = Annotated[int | None, Field(ge=1, le=MAX_ID, description="`before` of the page before.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswer:
    """A task of an agent."""

    __pydantic_config__ = CAMEL
    id: int
    key: Annotated[str, Field(description="Names it within its run.")]
    agent_type: str
    name: str
    description: str
    priority: Annotated[int, Field(description="1 is the highest.")]
    needs: Annotated[list[str], Field(description="The keys of the tasks that are completed before it begins.")]
    qa_round: Annotated[int, Field(description="How often quality control had sent work back before it.")]
    status: str
    attempt: Annotated[int, Field(description="How often it was begun.")]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    ended_at: datetime | None
    error: str | None
    outputs: Annotated[dict[str, Any] | None, Field(description="What the agent says of its work.")]

    @classmethod
    def of(cls, task: Task) -> Self:
        """The answer about a task."""
        return cls(
            id=task.id,
            key=task.key,
            agent_type=task.agent_type,
            name=task.name,
            description=task.description,
            priority=task.priority,
            needs=orjson.loads(task.needs),
            qa_round=task.qa_round,
            status=task.status,
            attempt=task.attempt,
            created_at=task.created_at,
            started_at=task.started_at,
            completed_at=task.ended_at if task.status == "completed" else None,
            ended_at=task.ended_at,
            error=task.error,
            outputs=None if task.outputs is None else orjson.loads(task.outputs),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """A run of a project."""

    __pydantic_config__ = CAMEL
    id: int
    project_id: str
    state: Annotated[str, Field(description="running, completed, failed or cancelled.")]
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    counts: Annotated[bool, Field(description="Whether it counts as a run of its month: its first task has started.")]
    error: Annotated[str | None, Field(description="Why it ended as it did.")]
    events: Annotated[int, Field(description="The number of its newest event.")]
    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    completion_percentage: Annotated[int, Field(description="Of the tasks, those that have ended by themselves.")]
    quality_percentage: Annotated[float, Field(description="Of the tasks, those that are completed.")]

    @classmethod
    def of(cls, run: ShownRun, **more: Any) -> Self:
        """The answer about a run, with the members that an answer like it has besides."""
        members = run._asdict()
        members["counts"] = members.pop("counted_at") is not None
        figures = run.figures
        return cls(**members, completion_percentage=figures.completion, quality_percentage=figures.quality, **more)
