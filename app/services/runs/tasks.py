"""One task of a run: taking it, and ending it in one transaction with all that follows.

Whoever takes a task writes its name and the number of the attempt into the task's row. The transaction that ends it is
conditional on both: a holder that was thought dead, and is not, commits nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

import orjson

from app.agents.job import Outcome
from app.context import Context
from app.database.connections import as_batch
from app.runtime import Runtime
from app.services.ledger.upkeep import DEAD_AFTER
from app.services.runs.moves import NewTask, RunEndedError, RunMove, moving
from app.services.runs.records import Run, Task
from app.telemetry import metrics
from sql.statements import runs as statements
from sql.statements import tasks as task_statements

# How often a task is begun at most where its agent breaks down, and where its process is gone each time: what kills
# processes is seldom the task.
MAX_ATTEMPTS: Final = 5
MAX_BEGUN: Final = 30
# Seconds after which a ready task that nobody has taken is put into the queue again; how many at a time.
MISSED_SECONDS: Final = 20
SWEPT_AT_ONCE: Final = 1000


class Place(NamedTuple):
    """Whose run a task belongs to."""

    tenant_id: int
    run_id: int


class Taken(NamedTuple):
    """A task that this process works on, with its run as it was then."""

    run: Run
    task: Task


class FileRow(NamedTuple):
    """A file of a run, as its manifest names it."""

    path: str
    sha256: str
    size: int


class TaskLostError(Exception):
    """Somebody else has taken the task, or its run has ended: nothing of this attempt is committed."""


# The tasks that this process works on, with the attempt of each: a task of its own that is not among these was left
# behind by a failure.
_held: WeakKeyDictionary[Runtime, dict[int, int]] = WeakKeyDictionary()


def _held_by(runtime: Runtime) -> dict[int, int]:
    return _held.setdefault(runtime, {})


def let_go(ctx: Context, taken: Taken) -> None:
    """This process works on the task no more, however that has ended."""
    held = _held_by(ctx.runtime)
    if held.get(taken.task.id) == taken.task.attempt:
        del held[taken.task.id]


async def place_of(ctx: Context, task_id: int) -> Place | None:
    """Where a task belongs; None if it is gone, or its tenant is being deleted."""
    async with ctx.read() as conn:
        return await conn.maybe(task_statements.place_of_task, Place, task_id=task_id)


async def take_task(ctx: Context, place: Place, wanted_id: int) -> Taken | None:
    """Take a task of the run, the wanted one before others; None if there is none to take.

    At the first one the run counts. A task that was begun too often fails instead, and the next one is looked for.
    Whoever works on it calls ``let_go`` in the end.
    """
    while True:
        taken: Taken | None = None
        try:
            async with moving(ctx, *place) as move:
                found = await _next_task(ctx, move, wanted_id)
                if found is None:
                    return None
                if found.attempt < MAX_BEGUN:
                    taken = Taken(move.run, await _taken(ctx, move, found))
                    # Before the commit: at once after it another errand of this process may look for a task.
                    _held_by(ctx.runtime)[found.id] = taken.task.attempt
                else:
                    await _fail_worn_out(move, found)
        except RunEndedError:
            return None
        except BaseException:
            if taken is not None:
                let_go(ctx, taken)
            raise
        if taken is not None:
            return taken


async def _next_task(ctx: Context, move: RunMove, wanted_id: int) -> Task | None:
    return await move.conn.maybe(
        task_statements.next_task,
        Task,
        tenant_id=move.run.tenant_id,
        run_id=move.run.id,
        executor_id=ctx.runtime.executor_id,
        held_ids=sorted(_held_by(ctx.runtime)) or [0],
        alive_since=move.now - DEAD_AFTER,
        wanted_id=wanted_id,
    )


async def _taken(ctx: Context, move: RunMove, found: Task) -> Task:
    task = await move.conn.one(
        task_statements.take_task,
        Task,
        of_tenant_id=move.run.tenant_id,
        of_id=found.id,
        last_attempt=found.attempt,
        executor_id=ctx.runtime.executor_id,
        begun_at=found.started_at or move.now,
    )
    again = "" if task.attempt == 1 else f", attempt {task.attempt}"
    move.tell("task_started", f"{task.name}: the {task.agent_type} agent has started{again}", task)
    if not move.has_counted:
        move.count()
    return task


async def _fail_worn_out(move: RunMove, found: Task) -> None:
    error = f"It was begun {found.attempt} times and never came to its end: {found.error or 'its process was gone'}"
    failed = await move.conn.one(
        task_statements.fail_task,
        Task,
        of_tenant_id=move.run.tenant_id,
        of_id=found.id,
        now=move.now,
        new_error=error,
    )
    move.tell("task_failed", f"{failed.name}: failed. {error}", failed)
    await move.follow()
    metrics.tasks_ended.labels(failed.agent_type, "failed").inc()


async def is_still_held(ctx: Context, taken: Taken) -> bool:
    """Whether whoever works on the task may go on."""
    key = {"tenant_id": taken.run.tenant_id, "task_id": taken.task.id, "executor_id": ctx.runtime.executor_id}
    async with ctx.read() as conn:
        return await conn.maybe(task_statements.still_held, int, **key, own_attempt=taken.task.attempt) is not None


async def files_of(ctx: Context, run: Run) -> list[FileRow]:
    """The manifest of the run as it is now."""
    async with ctx.read() as conn:
        rows = await conn.rows(statements.files_of_run, tenant_id=run.tenant_id, run_id=run.id)
    return [FileRow(row.path, row.sha256, row.size) for row in rows]


async def complete_task(ctx: Context, taken: Taken, outcome: Outcome, files: Sequence[FileRow]) -> None:
    """End a task with what its agent has made: its files, whose objects are stored, further tasks, and what follows.

    Raises TaskLostError, and then nothing of it is there.
    """
    outputs = orjson.dumps(outcome.outputs).decode()
    async with _ending(ctx, taken, "completed", outcome.message, outputs=outputs) as move:
        await _write_files(move, taken.task, outcome.removed, files)
        qa_round = taken.task.qa_round + (taken.task.agent_type == "qa")
        await move.add_tasks([NewTask(**task._asdict(), qa_round=qa_round) for task in outcome.tasks])
        await move.follow()


async def fail_task(ctx: Context, taken: Taken, error: str) -> None:
    """End a task whose agent has said why it cannot be done; what needs it is cancelled. Raises TaskLostError."""
    async with _ending(ctx, taken, "failed", error, error=error) as move:
        await move.follow()


async def give_task_back(ctx: Context, taken: Taken, error: str) -> None:
    """Let a task be begun again after a failure that was not its agent's word; raises TaskLostError."""
    async with _moving(ctx, taken) as move:
        task = await move.conn.maybe(task_statements.give_back_task, Task, **_held_key(ctx, taken), new_error=error)
        if task is None:
            raise TaskLostError
        move.tell("task_retried", f"{task.name}: attempt {task.attempt} failed. {error}", task)
        move.ready.append(task.id)


async def tasks_waiting(ctx: Context) -> list[int]:
    """The tasks that nobody works on, though somebody should by now."""
    now = ctx.now()
    moments = {"ready_before": now - timedelta(seconds=MISSED_SECONDS), "alive_since": now - DEAD_AFTER}
    async with ctx.read() as conn:
        return await conn.many(task_statements.tasks_waiting, int, **moments, max_rows=SWEPT_AT_ONCE)


def _held_key(ctx: Context, taken: Taken) -> dict[str, Any]:
    return {
        "of_tenant_id": taken.run.tenant_id,
        "of_id": taken.task.id,
        "executor_id": ctx.runtime.executor_id,
        "own_attempt": taken.task.attempt,
    }


@contextlib.asynccontextmanager
async def _moving(ctx: Context, taken: Taken) -> AsyncIterator[RunMove]:
    try:
        async with moving(ctx, taken.run.tenant_id, taken.run.id) as move:
            yield move
    except RunEndedError:
        raise TaskLostError from None


@contextlib.asynccontextmanager
async def _ending(
    ctx: Context,
    taken: Taken,
    status: Literal["completed", "failed"],
    message: str,
    *,
    error: str | None = None,
    outputs: str | None = None,
) -> AsyncIterator[RunMove]:
    """A move that ends the task, if this process still holds it."""
    async with _moving(ctx, taken) as move:
        task = await move.conn.maybe(
            task_statements.end_task,
            Task,
            **_held_key(ctx, taken),
            new_status=status,
            now=move.now,
            new_error=error,
            new_outputs=outputs,
        )
        if task is None:
            raise TaskLostError
        move.tell("task_completed" if status == "completed" else "task_failed", f"{task.name}: {message}", task)
        yield move
    metrics.tasks_ended.labels(taken.task.agent_type, status).inc()


async def _write_files(move: RunMove, task: Task, removed: Sequence[str], files: Sequence[FileRow]) -> None:
    run = move.run
    if removed:
        batch = as_batch([{"path": path} for path in removed])
        await move.conn.affected(statements.remove_files, of_tenant_id=run.tenant_id, of_run_id=run.id, batch=batch)
    written = {"tenant_id": run.tenant_id, "run_id": run.id, "task_id": task.id, "written_at": move.now}
    if files:
        await move.conn.insert_all(statements.put_files, [{**file._asdict(), **written} for file in files])
