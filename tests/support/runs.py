"""Runs of projects: what can be started, agents that do what a test says, and what must hold of every run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest
from httpx2 import Response
from sqlalchemy import select
from support.admin import as_tenant
from support.builders import Licensed, licensed
from support.live import LiveServer
from support.projects import PLACE, assign, create
from support.rows import rows

from app.agents.work import AgentFailedError, Job, Outcome, PlannedTask
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.ledger.upkeep import verify
from app.services.runs import errand
from app.services.runs.errand import perform_task
from sql.tables import agent_tasks, ledger_accounts, ledger_reservations, run_events, run_files, runs, usage_events

Agent = Callable[[Job], Awaitable[Outcome]]


def planned(key: str, needs: str = "", agent_type: str = "coder", priority: int = 2) -> PlannedTask:
    """A task by its key and the keys that it needs."""
    return PlannedTask(key, agent_type, f"Task {key}", f"Do {key}", tuple(needs.split()), priority)


async def ready_project(
    live: LiveServer, tenant: Licensed | None = None, name: str = "Hat Shop", *, code: int = 0, **more: Any
) -> tuple[Licensed, dict[str, str], str]:
    """A project that can be run: its tenant, the headers of the tenant's session, and its id."""
    tenant = tenant or await licensed(live)
    session = await as_tenant(live, tenant.tenant_id)
    answer = await create(live, session, name, **more)
    assert answer.status_code == 201, answer.text
    project_id = answer.json()["projectId"]
    assigned = await assign(live, session, project_id, tenant.codes[code])
    assert assigned.status_code == 200, assigned.text
    return tenant, session, project_id


async def run(live: LiveServer, session: dict[str, str], project_id: str, action: str = "run") -> Response:
    """The answer to a start, a restart or a cancellation."""
    return await live.http.post(f"{PLACE}/{project_id}/{action}", headers=session)


async def started(live: LiveServer, session: dict[str, str], project_id: str) -> int:
    """The id of a run that has started."""
    answer = await run(live, session, project_id)
    assert answer.status_code == 200, answer.text
    run_id: int = answer.json()["execution_id"]
    return run_id


def scripted(monkeypatch: pytest.MonkeyPatch, plan: Sequence[PlannedTask], agent: Agent | None = None) -> list[str]:
    """Let the orchestrator plan these tasks and another agent do them; the keys of all tasks that were worked on."""
    worked: list[str] = []

    async def work(job: Job, sandbox: object) -> Outcome:
        worked.append(job.task.key)
        if job.task.agent_type == "orchestrator":
            return Outcome(tasks=tuple(plan), message="planned")
        if agent is not None:
            return await agent(job)
        return Outcome(files={f"{job.task.key}.txt": job.task.key.encode()}, message="written")

    monkeypatch.setattr(errand, "work", work)
    return worked


async def failing(job: Job) -> Outcome:
    """An agent that cannot do what it is asked for."""
    raise AgentFailedError("No template covers this: describe it in other words.")


async def worker(live: LiveServer) -> Context:
    """The context of an errand in another process's place, on the server's database."""
    # In a thread: a process starts before it has an event loop that could be blocked.
    runtime = await asyncio.to_thread(Runtime, live.runtime.settings, live.runtime.clock)
    return Context(runtime, Actor("system", "errand task"))


async def tasks_of(live: LiveServer, run_id: int) -> list[Any]:
    """The run's tasks."""
    return await rows(live, select(agent_tasks).where(agent_tasks.c.run_id == run_id).order_by(agent_tasks.c.id))


async def run_row(live: LiveServer, run_id: int) -> Any:
    """The run's row."""
    (row,) = await rows(live, select(runs).where(runs.c.id == run_id))
    return row


async def events_of(live: LiveServer, run_id: int) -> list[Any]:
    """The run's events in their order."""
    return await rows(live, select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.number))


async def files_of(live: LiveServer, run_id: int) -> list[Any]:
    """The run's manifest."""
    return await rows(live, select(run_files).where(run_files.c.run_id == run_id).order_by(run_files.c.path))


async def worked_off(live: LiveServer, run_id: int) -> Any:
    """The run's row after the errand of its first task, which goes on to the run's end."""
    (first, *_) = await tasks_of(live, run_id)
    await perform_task(live.ctx, first.id)
    return await run_row(live, run_id)


async def counted_runs(live: LiveServer, tenant_id: int) -> int:
    """How many runs of the tenant usage counts."""
    found = await rows(live, select(usage_events).where(usage_events.c.tenant_id == tenant_id))
    return sum(event.quantity for event in found if event.kind == "run")


async def must_hold(live: LiveServer, run_id: int) -> None:
    """What holds of every run that has ended, whatever happened to it."""
    row, tasks, events = await run_row(live, run_id), await tasks_of(live, run_id), await events_of(live, run_id)
    statuses = Counter(task.status for task in tasks)
    assert row.state in {"completed", "failed", "cancelled"}
    assert row.total_tasks == len(tasks)
    assert (row.completed_tasks, row.failed_tasks, row.cancelled_tasks) == (
        statuses["completed"],
        statuses["failed"],
        statuses["cancelled"],
    )
    assert not statuses.keys() & {"pending", "running"}
    assert [event.number for event in events] == list(range(1, row.events + 1))
    kinds = Counter(event.kind for event in events)
    assert kinds["run_started"] == kinds[f"run_{row.state}"] == 1
    assert events[-1].kind == f"run_{row.state}"
    for status in ("completed", "failed", "cancelled"):
        ended = [event.task_id for event in events if event.kind == f"task_{status}"]
        assert sorted(ended) == sorted(task.id for task in tasks if task.status == status)
    assert orjson.loads(events[-1].data)["run"]["state"] == row.state
    (reservation,) = await rows(live, select(ledger_reservations).where(ledger_reservations.c.id == row.reservation_id))
    assert reservation.state == "released"
    assert all(account.reserved == 0 for account in await rows(live, select(ledger_accounts)))
    assert (await verify(live.ctx)).is_right
