"""Runs as GraphQL shows them, many at once: by their ids, those of projects, and the tasks and events of runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.services.progress.records import TaskProgress
from app.services.progress.visible import Seen
from app.services.runs.records import ListedRun
from app.services.runs.run_events import RunEvent
from sql.statements import run_progress as statements

_runs_by_id = cache(statements.runs_by_id)


class RunsOfProject(NamedTuple):
    """Which runs of a project: below ``before_id``, the newest first, in a state or in any."""

    tenant_id: int | None
    number: int
    state: str | None
    before_id: int
    most: int


class TasksOfRun(NamedTuple):
    """Which tasks of a run: behind ``after_id``, as they were planned, with a status or with any."""

    tenant_id: int
    run_id: int
    status: str | None
    after_id: int
    most: int


class EventsOfRun(NamedTuple):
    """Which events of a run: from the number behind ``after_number`` to ``last_number``."""

    tenant_id: int
    run_id: int
    after_number: int
    last_number: int


async def runs_by_id(ctx: Context, run_ids: Sequence[int]) -> list[ListedRun | None]:
    """The runs with these ids that the caller sees, in the order of the ids."""
    seen = Seen(ctx)
    batch = as_batch([{"run_id": run_id} for run_id in set(run_ids)])
    async with ctx.read() as conn:
        found = await conn.many(_runs_by_id(seen.is_of_tenant), ListedRun, **seen.key, batch=batch)
    by_id = {run.id: run for run in found}
    return [by_id.get(run_id) for run_id in run_ids]


async def runs_of_projects(ctx: Context, lists: Sequence[RunsOfProject]) -> list[list[ListedRun]]:
    """The runs of each of these lists, with one statement, which reads as many of each as the longest one has."""
    found: list[list[ListedRun]] = [[] for _ in lists]
    values = {"batch": _batch(lists), "page_size": max(asked.most for asked in lists)}
    async with ctx.read() as conn:
        for row in await conn.rows(statements.runs_of_projects, **values):
            found[row[0]].append(ListedRun._make(row[1:]))
    return [runs[: asked.most] for asked, runs in zip(lists, found, strict=True)]


async def tasks_of_runs(ctx: Context, lists: Sequence[TasksOfRun]) -> list[list[TaskProgress]]:
    """The tasks of each of these lists, with one statement."""
    found: list[list[TaskProgress]] = [[] for _ in lists]
    async with ctx.read() as conn:
        for row in await conn.rows(statements.tasks_of_runs, batch=_batch(lists)):
            found[row[0]].append(TaskProgress._make((*row[1:], None)))
    return found


async def events_of_runs(ctx: Context, lists: Sequence[EventsOfRun]) -> list[list[RunEvent]]:
    """The events of each of these lists, with one statement."""
    found: list[list[RunEvent]] = [[] for _ in lists]
    async with ctx.read() as conn:
        for row in await conn.rows(statements.events_of_runs, batch=_batch(lists)):
            members: Sequence[Any] = row[1:]
            found[row[0]].append(RunEvent(*members))
    return found


def _batch(lists: Sequence[RunsOfProject | TasksOfRun | EventsOfRun]) -> str:
    return as_batch([{"place": place, **asked._asdict()} for place, asked in enumerate(lists)])
