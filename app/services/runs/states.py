r"""The states of runs and tasks, all pure: what follows from the end of a task, and how good a run is.

    run     running -> completed | failed | cancelled

    task    pending -> running -> completed
               ^          |   \-> failed
               |          v
               +---- may be tried again
            pending or running -> cancelled

A task is ready once all that it needs is completed. What needs a task that has failed or was cancelled is cancelled. A
run ends when none of its tasks is open: completed if enough of them are, failed otherwise. A run that has ended never
goes on; the project's next run is another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

RunState = Literal["running", "completed", "failed", "cancelled"]
RunEnd = Literal["completed", "failed", "cancelled"]
TaskStatus = Literal["pending", "running", "completed", "failed", "cancelled"]

# The least quality, in per cent, of a run that is completed and may be downloaded.
LEAST_QUALITY: Final = 98.0
# A run in which nothing has moved for so long, with fewer tasks finished than this share, is taken for hung.
HUNG_SECONDS: Final = 3600
HUNG_BELOW: Final = 0.9


class TaskState(NamedTuple):
    """A task as far as its run's course depends on it; ``needs`` are keys of other tasks."""

    id: int
    key: str
    status: TaskStatus
    needs: tuple[str, ...]
    is_ready: bool


class Figures(NamedTuple):
    """How many tasks a run has, and how many of them have ended in which way."""

    total: int
    completed: int
    failed: int
    cancelled: int

    @property
    def open(self) -> int:
        """How many have not ended."""
        return self.total - self.completed - self.failed - self.cancelled

    @property
    def completion(self) -> int:
        """Per cent of the tasks that have ended by themselves, rounded to whole ones; 0 without tasks."""
        return round(100 * (self.completed + self.failed) / self.total) if self.total else 0

    @property
    def quality(self) -> float:
        """Per cent of the tasks that are completed, to two decimals; 0 without tasks."""
        return round(100 * self.completed / self.total, 2) if self.total else 0.0

    @property
    def success_rate(self) -> float:
        """Per cent of the tasks that have ended by themselves that are completed, to two decimals."""
        ended = self.completed + self.failed
        return round(100 * self.completed / ended, 2) if ended else 0.0


class Course(NamedTuple):
    """What follows from the states of a run's tasks: tasks that become ready or are cancelled, and the run's end."""

    ready: list[int]
    cancelled: list[int]
    figures: Figures
    end: RunEnd | None


def course_of(tasks: Sequence[TaskState]) -> Course:
    """What follows now that these are the states of a run's tasks."""
    statuses = {task.key: task.status for task in tasks}
    cancelled: list[int] = []
    # Each pass follows the needs one step further, so there are at most as many passes as tasks.
    while lost := [task for task in tasks if statuses[task.key] == "pending" and _is_lost(task, statuses)]:
        for task in lost:
            statuses[task.key] = "cancelled"
            cancelled.append(task.id)
    ready = [
        task.id
        for task in tasks
        if statuses[task.key] == "pending"
        and not task.is_ready
        and all(statuses[key] == "completed" for key in task.needs)
    ]
    counts = Counter(statuses.values())
    figures = Figures(len(tasks), counts["completed"], counts["failed"], counts["cancelled"])
    return Course(ready, cancelled, figures, None if figures.open else _end_of(figures))


def _is_lost(task: TaskState, statuses: dict[str, TaskStatus]) -> bool:
    return any(statuses[key] in {"failed", "cancelled"} for key in task.needs)


def _end_of(figures: Figures) -> RunEnd:
    return "completed" if figures.quality >= LEAST_QUALITY else "failed"


def reason_of_failure(figures: Figures) -> str:
    """Why a run whose tasks have all ended is not completed."""
    return (
        f"Quality is {figures.quality:g} %, and {LEAST_QUALITY:g} % are needed: {figures.completed} of"
        f" {figures.total} tasks were completed, {figures.failed} failed, {figures.cancelled} were cancelled."
    )


def is_hung(figures: Figures, seconds_since_move: float) -> bool:
    """Whether a run in which nothing has moved for so long will not go on by itself."""
    finished = (figures.completed + figures.failed) / figures.total if figures.total else 0.0
    return seconds_since_move >= HUNG_SECONDS and finished < HUNG_BELOW
