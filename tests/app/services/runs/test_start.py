"""Starting runs: once, within the trial and the quota, whoever starts at the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from sqlalchemy import select, update
from support.admin import as_tenant
from support.builders import licensed, subscribe
from support.live import LiveServer
from support.projects import PLACE
from support.rows import change, rows, told
from support.runs import (
    counted_runs,
    events_of,
    must_hold,
    ready_project,
    run,
    run_row,
    scripted,
    started,
    tasks_of,
    worked_off,
)
from support.statements import counted_statements

from sql.tables import ledger_accounts, projects, runs


async def test_a_start_writes_the_run_its_first_task_and_its_events(sanic_client: LiveServer) -> None:
    tenant, mine, project_id = await ready_project(sanic_client)

    answer = await run(sanic_client, mine, project_id)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    run_id = body.pop("execution_id")
    message = "The run of hat-shop has started."
    assert body == {"success": True, "message": message, "status": "running", "output_folder_path": None}
    row = await run_row(sanic_client, run_id)
    assert (row.state, row.tenant_id, row.counted_at, row.total_tasks, row.events) == (
        "running",
        tenant.tenant_id,
        None,
        1,
        2,
    )
    (task,) = await tasks_of(sanic_client, run_id)
    assert (task.agent_type, task.status, task.ready_at is not None) == ("orchestrator", "pending", True)
    assert [event.kind for event in await events_of(sanic_client, run_id)] == ["run_started", "task_created"]
    (event,) = [event for event in await told(sanic_client, tenant.tenant_id) if event.event_type == "run_started"]
    assert (event.project_id, event.title, event.severity) == (project_id, "Run of Hat Shop started", "minor")
    shown = (await sanic_client.http.get(f"{PLACE}/{project_id}", headers=mine)).json()
    assert shown["executionStatus"] == "running"
    assert await counted_runs(sanic_client, tenant.tenant_id) == 0


async def test_fifty_double_clicks_start_one_run(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client)

    answers = await asyncio.gather(*(run(sanic_client, mine, project_id) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
    assert {answer.json()["errorCode"] for answer in answers if answer.status_code == 409} == {"run_in_progress"}
    assert len(await rows(sanic_client, select(runs))) == 1
    assert [account.reserved for account in await rows(sanic_client, select(ledger_accounts))] == [1]


async def test_a_trial_runs_one_project_at_a_time_however_many_start(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=1, max_uses=5)
    made = [await ready_project(sanic_client, tenant, f"Shop {number}") for number in range(5)]
    await subscribe(sanic_client, tenant, "trialing")

    starts = [run(sanic_client, mine, project_id) for _, mine, project_id in made for _ in range(10)]
    answers = await asyncio.gather(*starts)

    assert Counter(answer.status_code for answer in answers)[200] == 1
    refused = Counter(answer.json()["errorCode"] for answer in answers if answer.status_code != 200)
    assert refused == {"trial_run_limit": 40, "run_in_progress": 9}
    assert len(await rows(sanic_client, select(runs))) == 1


async def test_the_quota_holds_whoever_starts_at_once(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [])
    tenant = await licensed(sanic_client, codes=1, max_uses=6, quota=3)
    made = [await ready_project(sanic_client, tenant, f"Shop {number}") for number in range(6)]
    first = await started(sanic_client, made[0][1], made[0][2])
    assert (await worked_off(sanic_client, first)).state == "completed"

    answers = await asyncio.gather(*(run(sanic_client, mine, project_id) for _, mine, project_id in made[1:]))

    assert Counter(answer.status_code for answer in answers) == {200: 2, 402: 3}
    problem = next(answer.json() for answer in answers if answer.status_code == 402)
    assert problem["errorCode"] == "quota_exceeded"
    next_month = sanic_client.ctx.month().next_day.isoformat()
    figures = {name: problem[name] for name in ("quota", "settled", "reserved", "next_month")}
    assert figures == {"quota": 3, "settled": 1, "reserved": 2, "next_month": next_month}
    statuses = Counter(row.execution_status for row in await rows(sanic_client, select(projects)))
    assert statuses == {"completed": 1, "running": 2, "pending": 3}


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"activation_code_id": None}, 400, "project_without_code"),
        ({"custom_instructions": " ", "description": "x"}, 400, "project_incomplete"),
        ({"execution_status": "completed"}, 409, "project_completed"),
    ],
)
async def test_what_cannot_be_run_says_why(
    sanic_client: LiveServer, values: dict[str, object], status: int, code: str
) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    await change(sanic_client, update(projects).values(**values))

    answer = await run(sanic_client, mine, project_id)

    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
    assert answer.json()["remedy"]
    assert await rows(sanic_client, select(runs)) == []
    assert all(account.reserved == 0 for account in await rows(sanic_client, select(ledger_accounts)))


@pytest.mark.parametrize("state", ["past_due", "suspended", "canceled"])
async def test_a_subscription_that_has_ended_starts_nothing(sanic_client: LiveServer, state: str) -> None:
    tenant, mine, project_id = await ready_project(sanic_client)
    await subscribe(sanic_client, tenant, state)

    assert (await run(sanic_client, mine, project_id)).status_code == 403


async def test_only_what_has_failed_is_restarted(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [])
    tenant, mine, project_id = await ready_project(sanic_client)
    refused = await run(sanic_client, mine, project_id, "restart")
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "restart_refused")
    first = await started(sanic_client, mine, project_id)
    assert (await run(sanic_client, mine, project_id, "cancel")).json()["execution_id"] == first
    await change(sanic_client, update(projects).values(show_completion_modal=False))

    answer = await run(sanic_client, mine, project_id, "restart")

    second = answer.json()["execution_id"]
    assert (answer.status_code, second > first) == (200, True)
    (project,) = await rows(sanic_client, select(projects))
    assert (project.execution_status, project.run_id, project.show_completion_modal) == ("running", second, True)
    assert (await worked_off(sanic_client, second)).state == "completed"
    await must_hold(sanic_client, first)
    await must_hold(sanic_client, second)
    assert await counted_runs(sanic_client, tenant.tenant_id) == 1
    done = await run(sanic_client, mine, project_id, "restart")
    assert (done.status_code, done.json()["errorCode"]) == (400, "restart_refused")


async def test_nobody_starts_the_project_of_another_tenant(sanic_client: LiveServer) -> None:
    _, _, project_id = await ready_project(sanic_client)
    theirs = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)

    for action in ("run", "restart", "cancel"):
        assert (await run(sanic_client, theirs, project_id, action)).status_code == 404
    assert (await sanic_client.http.get(f"{PLACE}/{project_id}/runs", headers=theirs)).status_code == 404


async def test_a_repeated_start_under_a_key_is_one_run(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    key = {**mine, "idempotency-key": "one-start"}

    answers = [await run(sanic_client, key, project_id) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert len(await rows(sanic_client, select(runs))) == 1


async def test_a_start_takes_the_same_statements_however_many_runs_there_were(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [])
    _, mine, project_id = await ready_project(sanic_client)
    counts = []
    for _ in range(4):
        with counted_statements(sanic_client.runtime.db) as seen:
            await started(sanic_client, mine, project_id)
        # Where Stripe is simulated, the clock of billing is asked once a second.
        counts.append(sum("billing_clock" not in statement for statement in seen))
        await run(sanic_client, mine, project_id, "cancel")

    assert len(set(counts[1:])) == 1
    assert counts[1] <= 21
