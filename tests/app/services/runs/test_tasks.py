"""The tasks of a run: taken once, done once, taken over from the dead, and followed by what follows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from support.clocks import MovableClock
from support.live import LiveServer
from support.projects import PLACE
from support.rows import change, rows
from support.runs import (
    counted_runs,
    events_of,
    failing,
    files_of,
    must_hold,
    planned,
    ready_project,
    run_row,
    scripted,
    started,
    tasks_of,
    worked_off,
    worker,
)
from support.statements import counted_statements

from app.agents.work import Job, Outcome
from app.context import Context
from app.errors import DatabaseUnavailableError
from app.services.runs import errand, moves, tasks
from app.services.runs.errand import perform_task
from app.services.runs.moves import RunMove
from app.services.runs.tasks import MAX_ATTEMPTS, MAX_BEGUN, tasks_waiting
from sql.tables import agent_tasks, projects, worker_heartbeats

PLAN = [planned("a"), planned("b", "a"), planned("c", "a"), planned("d", "b c")]


async def beat(ctx: Context) -> None:
    """The process of this context is alive."""
    now = ctx.now()
    row = {"executor_id": ctx.runtime.executor_id, "host": "tests", "started_at": now, "beat_at": now}
    async with ctx.write() as conn:
        await conn.affected(insert(worker_heartbeats).values(**row))


async def test_a_run_goes_through_its_plan_to_its_end(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = scripted(monkeypatch, PLAN)
    tenant, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    row = await worked_off(sanic_client, run_id)

    assert worked == ["plan", "a", "b", "c", "d"]
    assert (row.state, row.error, row.completed_tasks) == ("completed", None, 5)
    assert [file.path for file in await files_of(sanic_client, run_id)] == ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert {task.attempt for task in await tasks_of(sanic_client, run_id)} == {1}
    assert await counted_runs(sanic_client, tenant.tenant_id) == 1
    (project,) = await rows(sanic_client, select(projects))
    assert project.execution_status == "completed"
    await must_hold(sanic_client, run_id)
    shown = (await sanic_client.http.get(f"{PLACE}/{project_id}/runs/{run_id}", headers=mine)).json()
    assert (shown["state"], shown["qualityPercentage"], shown["completionPercentage"]) == ("completed", 100.0, 100)
    assert [task["key"] for task in shown["tasks"]] == ["plan", "a", "b", "c", "d"]


async def test_what_needs_a_task_that_failed_is_cancelled_and_the_run_has_failed(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(job: Job) -> Outcome:
        return await failing(job) if job.task.key == "b" else Outcome(message="done")

    scripted(monkeypatch, PLAN, agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    row = await worked_off(sanic_client, run_id)

    assert row.state == "failed"
    assert row.error == (
        "Quality is 60 %, and 98 % are needed: 3 of 5 tasks were completed, 1 failed, 1 were cancelled."
    )
    by_key = {task.key: task for task in await tasks_of(sanic_client, run_id)}
    assert by_key["b"].error == "No template covers this: describe it in other words."
    assert (by_key["d"].status, by_key["d"].error) == ("cancelled", "A task that it needs was not completed.")
    await must_hold(sanic_client, run_id)


async def test_files_are_removed_with_one_statement_however_many(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(job: Job) -> Outcome:
        if job.task.key == "a":
            return Outcome(files={f"{number}.txt": b"x" for number in range(9)}, message="written")
        return Outcome(removed=tuple(f"{number}.txt" for number in range(8)), message="removed")

    scripted(monkeypatch, [planned("a"), planned("b", "a")], agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    with counted_statements(sanic_client.runtime.db) as seen:
        await worked_off(sanic_client, run_id)

    assert [file.path for file in await files_of(sanic_client, run_id)] == ["8.txt"]
    assert sum("DELETE FROM run_files" in statement for statement in seen) == 1


async def test_many_processes_do_each_task_once(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = [planned("first"), *(planned(f"t{number}", "first") for number in range(12)), planned("last", "t0 t11")]

    async def agent(job: Job) -> Outcome:
        await asyncio.sleep(0.01)
        return Outcome(files={f"{job.task.key}.txt": b"x"}, message="done")

    worked = scripted(monkeypatch, plan, agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    (first,) = await tasks_of(sanic_client, run_id)
    others = [await worker(sanic_client) for _ in range(3)]
    for ctx in (sanic_client.ctx, *others):
        await beat(ctx)

    while (await run_row(sanic_client, run_id)).state == "running":
        waiting = [task.id for task in await tasks_of(sanic_client, run_id) if task.status == "pending"]
        wanted = waiting or [first.id]
        await asyncio.gather(*(perform_task(ctx, wanted[place % len(wanted)]) for place, ctx in enumerate(others)))
    for ctx in others:
        await ctx.runtime.close()

    assert Counter(worked) == Counter(["plan", *(task.key for task in plan)])
    assert len(await files_of(sanic_client, run_id)) == len(plan)
    await must_hold(sanic_client, run_id)


async def test_errands_of_one_process_take_no_task_from_each_other(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(job: Job) -> Outcome:
        await asyncio.sleep(0.02)
        return Outcome(message="done")

    plan = [planned(f"t{number}") for number in range(10)]
    worked = scripted(monkeypatch, plan, agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    (first,) = await tasks_of(sanic_client, run_id)
    await beat(sanic_client.ctx)

    @contextlib.asynccontextmanager
    async def slow_to_hear(*place: Any) -> AsyncIterator[RunMove]:
        """The database has committed, and this process hears of it a moment later."""
        async with moves.moving(*place) as move:
            yield move
        await asyncio.sleep(0.02)

    monkeypatch.setattr(tasks, "moving", slow_to_hear)
    await asyncio.gather(*(perform_task(sanic_client.ctx, first.id) for _ in range(8)))

    assert Counter(worked) == Counter(["plan", *(task.key for task in plan)])
    assert {task.attempt for task in await tasks_of(sanic_client, run_id)} == {1}
    await must_hold(sanic_client, run_id)


async def test_a_dead_process_loses_its_task_and_commits_nothing_when_it_comes_back(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    slow = await worker(sanic_client)

    async def agent(job: Job) -> Outcome:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
            return Outcome(files={"late.txt": b"too late"}, message="done")
        return Outcome(files={"a.txt": b"in time"}, message="done")

    monkeypatch.setattr(errand, "ASK_SECONDS", 60.0)
    scripted(monkeypatch, [planned("a")], agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    (first,) = await tasks_of(sanic_client, run_id)
    await beat(slow)
    standing = asyncio.create_task(perform_task(slow, first.id))
    await begun.wait()
    assert await perform_task(sanic_client.ctx, first.id) == {"tasks": 0}
    assert await tasks_waiting(sanic_client.ctx) == []

    clock.move(seconds=21)
    (_, task) = await tasks_of(sanic_client, run_id)
    assert await tasks_waiting(sanic_client.ctx) == [task.id]
    assert await perform_task(sanic_client.ctx, task.id) == {"tasks": 1}
    go_on.set()
    await standing
    await slow.runtime.close()

    (_, task) = await tasks_of(sanic_client, run_id)
    assert (task.status, task.attempt) == ("completed", 2)
    assert [file.path for file in await files_of(sanic_client, run_id)] == ["a.txt"]
    await must_hold(sanic_client, run_id)


async def test_a_broken_agent_is_begun_again_and_fails_after_so_many_attempts(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agent(job: Job) -> Outcome:
        raise ZeroDivisionError("a secret that nobody is told")

    worked = scripted(monkeypatch, [planned("a")], agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    row = await worked_off(sanic_client, run_id)

    assert Counter(worked) == {"plan": 1, "a": MAX_ATTEMPTS}
    assert row.state == "failed"
    (_, task) = await tasks_of(sanic_client, run_id)
    assert task.error == f"It was begun {MAX_ATTEMPTS} times. The agent has broken down (ZeroDivisionError)."
    kinds = Counter(event.kind for event in await events_of(sanic_client, run_id))
    assert (kinds["task_started"], kinds["task_retried"], kinds["task_failed"]) == (
        1 + MAX_ATTEMPTS,
        MAX_ATTEMPTS - 1,
        1,
    )
    assert "secret" not in "".join(event.data + event.message for event in await events_of(sanic_client, run_id))
    await must_hold(sanic_client, run_id)


async def test_a_task_whose_process_is_always_gone_fails_in_the_end(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = scripted(monkeypatch, [planned("a")])
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    gone = {"status": "running", "holder": "gone"}
    await change(sanic_client, update(agent_tasks).values(**gone, attempt=MAX_BEGUN - 1))
    assert (await worked_off(sanic_client, run_id)).state == "completed"
    assert worked == ["plan", "a"]

    _, mine, project_id = await ready_project(sanic_client, name="Another")
    run_id = await started(sanic_client, mine, project_id)
    of_run = update(agent_tasks).where(agent_tasks.c.run_id == run_id)
    await change(sanic_client, of_run.values(**gone, attempt=MAX_BEGUN))

    row = await worked_off(sanic_client, run_id)

    (task,) = await tasks_of(sanic_client, run_id)
    assert row.state == "failed"
    assert task.error == f"It was begun {MAX_BEGUN} times and never came to its end: its process was gone"


async def test_an_outage_leaves_the_task_for_the_next_attempt(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([DatabaseUnavailableError()])

    async def agent(job: Job) -> Outcome:
        for failure in failures:
            raise failure
        return Outcome(message="done")

    scripted(monkeypatch, [planned("a")], agent)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    (first,) = await tasks_of(sanic_client, run_id)

    with pytest.raises(DatabaseUnavailableError):
        await perform_task(sanic_client.ctx, first.id)
    assert (await run_row(sanic_client, run_id)).state == "running"
    await perform_task(sanic_client.ctx, first.id)

    assert (await run_row(sanic_client, run_id)).state == "completed"
    await must_hold(sanic_client, run_id)


async def test_a_running_project_cannot_be_deleted(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    await started(sanic_client, mine, project_id)

    answer = await sanic_client.http.delete(f"{PLACE}/{project_id}", headers=mine)

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "project_running")
    assert "cancel" in answer.json()["remedy"].lower()


async def test_a_plan_with_too_many_tasks_fails(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [planned(f"t{number}") for number in range(200)])
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    row = await worked_off(sanic_client, run_id)

    (task,) = await tasks_of(sanic_client, run_id)
    assert (row.state, task.status) == ("failed", "failed")
    assert task.error == "The plan has more than 200 tasks: describe fewer objectives in one project."


async def test_the_status_of_a_task_is_checked_by_the_database(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    await started(sanic_client, mine, project_id)

    with pytest.raises(Exception, match="status"):
        await change(sanic_client, update(agent_tasks).values(status="lost"))
