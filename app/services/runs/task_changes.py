"""Changing how a task stands from outside: by its tenant or an operator, while its run goes on."""

from __future__ import annotations

from typing import Final, Literal, cast

from app.access.permissions import Permission
from app.context import Context
from app.database.connections import as_batch
from app.errors import PermissionDeniedError, TaskEndedError, TaskNotFoundError
from app.services.runs.moves import EventKind, RunEndedError, RunMove, moving
from app.services.runs.records import Task
from app.services.runs.states import TaskStatus
from app.services.runs.tasks import place_of
from sql.statements import tasks as statements

MAX_ERROR: Final = 10_000

_KINDS: dict[str, EventKind] = {
    "pending": "task_retried",
    "completed": "task_completed",
    "failed": "task_failed",
    "cancelled": "task_cancelled",
}


async def change_task(ctx: Context, task_id: int, *, status: TaskStatus | None, error: str | None) -> None:
    """Let a task stand so, keep why, and do what follows for other tasks and for the run, in one transaction.

    Whoever works on it stops within seconds and commits nothing. Without a status only the error is kept. Raises
    TaskNotFoundError, TaskEndedError, PermissionDeniedError.
    """
    place = await place_of(ctx, task_id)
    if place is None or (ctx.session is not None and place.tenant_id != ctx.session.tenant_id):
        raise TaskNotFoundError(task_id=task_id)
    if ctx.session is None and Permission.RUNS_WRITE not in ctx.actor.permissions:
        raise PermissionDeniedError(permission=Permission.RUNS_WRITE.value)
    try:
        async with moving(ctx, *place) as move:
            tasks = await move.conn.many(statements.tasks_of_run, Task, **place._asdict())
            task = next(task for task in tasks if task.id == task_id)
            if reason := _why_not(task, status):
                raise TaskEndedError(task_id=task_id, status=status or task.status, reason=reason)
            await _change(ctx, move, task, status, error)
    except RunEndedError:
        raise TaskEndedError(task_id=task_id, status=status or "changed", reason="its run has ended") from None


def _why_not(task: Task, status: TaskStatus | None) -> str | None:
    """What is against the change; None where nothing is."""
    if task.status not in {"pending", "running"}:
        return f"it is {task.status}"
    if status == "running":
        return "only its agent begins it"
    if status == "completed" and task.status == "pending":
        return "nobody has begun it"
    if status == "pending" and task.status == "pending":
        return "it is pending"
    return None


async def _change(ctx: Context, move: RunMove, task: Task, status: TaskStatus | None, error: str | None) -> None:
    has_ended = status in {"completed", "failed", "cancelled"}
    changed = task._replace(
        status=status or task.status,
        ended_at=move.now if has_ended else None,
        error=error if status is not None or error is not None else task.error,
    )
    row = {name: getattr(changed, name) for name in ("id", "status", "ready_at", "ended_at", "error")}
    key = {"of_tenant_id": move.run.tenant_id}
    await move.conn.affected(statements.set_tasks, **key, batch=as_batch([row]))
    if status is None:
        return
    kind = cast("Literal['pending', 'completed', 'failed', 'cancelled']", status)
    move.tell(_KINDS[kind], f"{task.name}: {status} by {ctx.actor.name}. {error or ''}".rstrip(), changed)
    if has_ended:
        await move.follow()
    else:
        move.ready.append(task.id)
