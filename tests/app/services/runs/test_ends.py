"""A run ends before its plan does: cancelled, out of time, with its tenant gone; its reservation goes back."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update
from support.clocks import MovableClock
from support.live import LiveServer
from support.projects import PLACE
from support.rows import change, rows
from support.runs import (
    counted_runs,
    must_hold,
    planned,
    ready_project,
    run,
    run_row,
    scripted,
    started,
    tasks_of,
)

from app.agents.work import Job, Outcome
from app.services.runs import errand
from app.services.runs.errand import perform_task
from app.services.runs.upkeep import end_overdue_runs
from sql.tables import ledger_accounts, projects, runs, tenants


@pytest.mark.parametrize("how", ["cancel", "tenant", "time"])
async def test_work_stops_when_its_run_has_ended(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, clock: MovableClock, how: str
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def agent(job: Job) -> Outcome:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            stopped.set()
        raise AssertionError

    monkeypatch.setattr(errand, "ASK_SECONDS", 0.05)
    scripted(monkeypatch, [planned("a"), planned("b", "a")], agent)
    tenant, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    (first,) = await tasks_of(sanic_client, run_id)
    working = asyncio.create_task(perform_task(sanic_client.ctx, first.id))
    await begun.wait()

    if how == "cancel":
        assert (await run(sanic_client, mine, project_id, "cancel")).status_code == 200
    elif how == "tenant":
        hide = update(tenants).where(tenants.c.id == tenant.tenant_id)
        await change(sanic_client, hide.values(deleted_at=sanic_client.ctx.now()))
    else:
        clock.move(hours=25)
        assert (await end_overdue_runs(sanic_client.ctx))["ended"] == 1
    await working

    assert stopped.is_set()
    if how != "tenant":
        row = await run_row(sanic_client, run_id)
        assert row.state == {"cancel": "cancelled", "time": "failed"}[how]
        assert "24 hours" in row.error if how == "time" else "has cancelled" in row.error
        assert [task.status for task in await tasks_of(sanic_client, run_id)] == ["completed", "cancelled", "cancelled"]
        await must_hold(sanic_client, run_id)
        assert await counted_runs(sanic_client, tenant.tenant_id) == 1


async def test_a_run_that_is_cancelled_before_its_first_task_is_given_back(sanic_client: LiveServer) -> None:
    tenant, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    answer = await run(sanic_client, mine, project_id, "cancel")

    assert answer.json() == {
        "success": True,
        "message": "The run of hat-shop was cancelled.",
        "execution_id": run_id,
        "status": "cancelled",
    }
    await must_hold(sanic_client, run_id)
    assert await counted_runs(sanic_client, tenant.tenant_id) == 0
    (project,) = await rows(sanic_client, select(projects))
    assert project.execution_status == "failed"
    again = await run(sanic_client, mine, project_id, "cancel")
    assert (again.status_code, again.json()["errorCode"]) == (409, "nothing_runs")


async def test_a_run_in_which_nothing_moves_is_ended(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    clock.move(minutes=59)
    assert (await end_overdue_runs(sanic_client.ctx))["ended"] == 0

    clock.move(minutes=2)
    assert (await end_overdue_runs(sanic_client.ctx))["ended"] == 1

    row = await run_row(sanic_client, run_id)
    assert (row.state, row.error) == (
        "failed",
        "Nothing has moved for 1 h, and fewer than 90% of its tasks have finished: 0 of 1.",
    )
    await must_hold(sanic_client, run_id)


async def test_a_reservation_whose_run_has_gone_is_given_back(sanic_client: LiveServer, clock: MovableClock) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    await started(sanic_client, mine, project_id)
    await change(sanic_client, update(projects).values(execution_status="failed"))
    assert (await sanic_client.http.delete(f"{PLACE}/{project_id}", headers=mine)).status_code == 204
    assert await rows(sanic_client, select(runs)) == []

    clock.move(minutes=6)
    assert await end_overdue_runs(sanic_client.ctx) == {"ended": 0, "returned": 1}

    assert [account.reserved for account in await rows(sanic_client, select(ledger_accounts))] == [0]
    assert await end_overdue_runs(sanic_client.ctx) == {"ended": 0, "returned": 0}
