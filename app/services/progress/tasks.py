"""Tasks as GraphQL shows them: a page, one by its id, and those of many projects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors import TaskNotFoundError
from app.numerals import read_numeral
from app.services.progress.records import TaskProgress
from app.services.progress.visible import Seen
from sql.lists import progress_list
from sql.statements import progress as statements

_task_page = cache(progress_list.task_page)
_task_by_id = cache(statements.task_by_id)


class TaskList(NamedTuple):
    """Which tasks of a project: of all its runs, or with a status those of its newest run."""

    tenant_id: int | None
    project_id: str
    number: int
    run_id: int | None
    status: str | None
    most: int


async def list_tasks(
    ctx: Context,
    *,
    status: str | None = None,
    agent_type: str | None = None,
    project_id: str | None = None,
    created_after: datetime | None = None,
    limit: int,
    offset: int,
) -> list[TaskProgress]:
    """A page of the tasks that the caller sees, newest first."""
    seen = Seen(ctx)
    chosen = {"status": status, "agent_type": agent_type, "project_id": project_id, "created_after": created_after}
    values: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    values |= {**seen.key, "page_size": limit, "skip": offset}
    statement = _task_page(
        seen.is_of_tenant, status is not None, agent_type is not None, project_id is not None, created_after is not None
    )
    async with ctx.read() as conn:
        return await conn.many(statement, TaskProgress, **values)


async def task_by_id(ctx: Context, task_id: str) -> TaskProgress:
    """The task with this id, if the caller sees it; raises TaskNotFoundError."""
    number = task_number(task_id)
    seen = Seen(ctx)
    async with ctx.read() as conn:
        task = await conn.maybe(_task_by_id(seen.is_of_tenant), TaskProgress, **seen.key, task_id=number)
    if task is None:
        raise TaskNotFoundError(task_id=task_id)
    return task


def task_number(task_id: str) -> int:
    """The number that a task's id is; raises TaskNotFoundError for what cannot be one."""
    try:
        return read_numeral(task_id)
    except ValueError:
        raise TaskNotFoundError(task_id=task_id) from None


async def tasks_of_projects(ctx: Context, lists: Sequence[TaskList]) -> list[list[TaskProgress]]:
    """The tasks of each of these lists, with one statement."""
    batch = as_batch([{"place": place, **asked._asdict()} for place, asked in enumerate(lists)])
    found: list[list[TaskProgress]] = [[] for _ in lists]
    async with ctx.read() as conn:
        for row in await conn.rows(statements.tasks_of_projects, batch=batch):
            place, task_id, run_id, *task = tuple(row)
            asked = lists[place]
            of_project = (asked.tenant_id, run_id, asked.project_id, asked.run_id)
            found[place].append(TaskProgress._make((task_id, *of_project, *task, None)))
    return found
