"""Moving a run: one transaction that holds the run's lock and writes all that follows from it, events included."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, NamedTuple

import orjson

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.events import Event, EventType, record
from app.services.ledger.run_quota import count_run, return_run
from app.services.runs.records import Run, Task, shown_run
from app.services.runs.states import Figures, RunEnd, RunState, course_of, reason_of_failure
from app.telemetry import metrics
from sql.statements import runs as statements
from sql.statements import tasks as task_statements
from sql.statements.run_events import insert_run_events

# The errand's name; with the row's id it is the id under which the engine knows it.
TASK = "task"
MAX_TASKS = 200

EventKind = Literal[
    "run_started",
    "task_created",
    "task_started",
    "task_completed",
    "task_failed",
    "task_cancelled",
    "task_retried",
    "run_completed",
    "run_failed",
    "run_cancelled",
]
_ENDED: dict[RunEnd, EventKind] = {
    "completed": "run_completed",
    "failed": "run_failed",
    "cancelled": "run_cancelled",
}


class _Told(NamedTuple):
    """An event that the move will write."""

    kind: EventKind
    message: str
    task: Task | None


class RunEndedError(Exception):
    """The run does not run any more, or is gone: nothing of this move is done."""


class NewTask(NamedTuple):
    """A task to be added; ``needs`` are keys of tasks of the run."""

    key: str
    agent_type: str
    name: str
    description: str
    priority: int
    needs: tuple[str, ...]
    qa_round: int = 0


class RunMove:
    """What one transaction changes of a run whose row it has locked."""

    def __init__(self, conn: WriteConnection, ctx: Context, run: Run) -> None:
        self.conn = conn
        self.run = run
        self.now = ctx.now()
        self._ctx = ctx
        self._told: list[_Told] = []
        self._state: RunState = run.state
        self._figures = run.figures
        self._counted_at = run.counted_at
        self._error = run.error
        # The tasks that became ready, whose errands are put into the queue after the commit.
        self.ready: list[int] = []

    @property
    def end(self) -> RunEnd | None:
        """How the run has ended in this move; None if it goes on."""
        return None if self._state == "running" else self._state

    @property
    def has_counted(self) -> bool:
        """Whether the run counts as one of its tenant's month."""
        return self._counted_at is not None

    def tell(self, kind: EventKind, message: str, task: Task | None = None) -> None:
        """Write an event at the end of this transaction."""
        self._told.append(_Told(kind, message, task))

    def count(self) -> None:
        """Let the run count as one of its tenant's month, because its first task starts."""
        self._counted_at = self.now

    async def add_tasks(self, tasks: Sequence[NewTask]) -> None:
        """Add tasks to the run; ``follow`` finds those among them that are ready."""
        if not tasks:
            return
        rows = [
            {
                **task._asdict(),
                "needs": orjson.dumps(task.needs).decode(),
                "tenant_id": self.run.tenant_id,
                "run_id": self.run.id,
                "status": "pending",
                "created_at": self.now,
            }
            for task in tasks
        ]
        for row in await self.conn.insert_all(task_statements.insert_tasks, rows):
            task = Task._make(row)
            self.tell("task_created", f"{task.name}: planned for the {task.agent_type} agent", task)

    async def follow(self) -> None:
        """Do what follows from the states of the tasks: others become ready or are cancelled, or the run ends."""
        tasks = await self.conn.many(
            task_statements.tasks_of_run, Task, tenant_id=self.run.tenant_id, run_id=self.run.id
        )
        course = course_of([task.state for task in tasks])
        self._figures = course.figures
        by_id = {task.id: task for task in tasks}
        changed = [by_id[task_id]._replace(ready_at=self.now) for task_id in course.ready]
        reason = "A task that it needs was not completed."
        changed += [self._cancelled(by_id[task_id], reason) for task_id in course.cancelled]
        await self._set(changed)
        self.ready += course.ready
        if course.end is not None:
            await self._end(course.end, reason_of_failure(course.figures) if course.end == "failed" else None)

    async def stop(self, end: RunEnd, error: str) -> None:
        """End the run now: tasks that have not ended are cancelled, and whoever works on one commits nothing more."""
        tasks = await self.conn.many(
            task_statements.tasks_of_run, Task, tenant_id=self.run.tenant_id, run_id=self.run.id
        )
        await self._set([self._cancelled(task, error) for task in tasks if task.status in {"pending", "running"}])
        ended = {"completed": 0, "failed": 0}
        for task in tasks:
            if task.status in ended:
                ended[task.status] += 1
        cancelled = len(tasks) - sum(ended.values())
        self._figures = Figures(len(tasks), ended["completed"], ended["failed"], cancelled)
        await self._end(end, error)

    async def write(self) -> None:
        """Write the run's row and its events, and as the transaction's last locks those of the ledger."""
        first = self.run.events + 1
        await self.conn.affected(
            statements.move_run,
            of_tenant_id=self.run.tenant_id,
            of_id=self.run.id,
            new_state=self._state,
            new_counted_at=self._counted_at,
            new_ended_at=None if self.end is None else self.now,
            new_error=self._error,
            now=self.now,
            new_events=self.run.events + len(self._told),
            **dict(zip(("total", "completed", "failed", "cancelled"), self._figures, strict=True)),
        )
        shown = shown_run(self.run.id, self._state, self._figures, self._error)
        rows = [self._row(number, told, shown) for number, told in enumerate(self._told, first)]
        if rows:
            await self.conn.insert_all(insert_run_events, rows)
        if self.has_counted and self.run.counted_at is None:
            await count_run(self.conn, self._ctx, self.run.tenant_id, self.run.reservation_id)
        elif self.end is not None and not self.has_counted:
            await return_run(self.conn, self._ctx, self.run.reservation_id)

    def _row(self, number: int, told: _Told, shown: dict[str, Any]) -> dict[str, Any]:
        data = {"run": shown, "task": None if told.task is None else told.task.shown()}
        return {
            "tenant_id": self.run.tenant_id,
            "run_id": self.run.id,
            "number": number,
            "kind": told.kind,
            "message": told.message,
            "task_id": None if told.task is None else told.task.id,
            "data": orjson.dumps(data, option=orjson.OPT_UTC_Z).decode(),
            "created_at": self.now,
        }

    def _cancelled(self, task: Task, reason: str) -> Task:
        cancelled = task._replace(status="cancelled", ended_at=self.now, error=reason)
        self.tell("task_cancelled", f"{task.name}: cancelled. {reason}", cancelled)
        return cancelled

    async def _set(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        rows = [
            {
                "id": task.id,
                "status": task.status,
                "ready_at": task.ready_at,
                "ended_at": task.ended_at,
                "error": task.error,
            }
            for task in tasks
        ]
        await self.conn.affected(task_statements.set_tasks, of_tenant_id=self.run.tenant_id, batch=as_batch(rows))

    async def _end(self, end: RunEnd, error: str | None) -> None:
        self._state, self._error = end, error
        run = self.run
        status = "completed" if end == "completed" else "failed"
        await self.conn.affected(
            statements.set_project_ended,
            of_tenant_id=run.tenant_id,
            of_id=run.project_number,
            of_run_id=run.id,
            status=status,
        )
        self.tell(_ENDED[end], error or f"All {self._figures.total} tasks are completed.")
        event = _ended(end, run, {"run_id": run.id, "quality": self._figures.quality, "error": error})
        await record(self.conn, self._ctx, event)


def _ended(end: RunEnd, run: Run, metadata: dict[str, Any]) -> Event:
    """What the audit trail says of the end of a run."""
    title = f"Run of {run.project_name} {end}"
    of: dict[str, Any] = {"tenant_id": run.tenant_id, "project_id": run.project_id}
    if end == "completed":
        return Event(EventType.RUN_COMPLETED, title, **of, metadata=metadata)
    if end == "failed":
        return Event(EventType.RUN_FAILED, title, **of, metadata=metadata)
    return Event(EventType.RUN_CANCELLED, title, **of, metadata=metadata)


@contextlib.asynccontextmanager
async def moving(ctx: Context, tenant_id: int, run_id: int) -> AsyncIterator[RunMove]:
    """Lock a running run for one transaction, and write at its end what the block has done with it.

    After the commit the errands of tasks that became ready are put into the queue, and watchers are told. Raises
    RunEndedError.
    """
    async with ctx.write() as conn:
        run = await conn.maybe(statements.run_locked, Run, tenant_id=tenant_id, run_id=run_id)
        if run is None:
            raise RunEndedError
        move = RunMove(conn, ctx, run)
        yield move
        await move.write()
    after_move(ctx, tenant_id, run_id, move.ready)
    if move.end is not None:
        metrics.runs_ended.labels(move.end).inc()


def after_move(ctx: Context, tenant_id: int, run_id: int, ready: Sequence[int]) -> None:
    """What follows a move's commit: the errands of the tasks that became ready, and a ring for watchers."""
    for task_id in ready:
        ctx.runtime.enqueue(TASK, task_id)
    ctx.runtime.run_moved(run_id, tenant_id)
