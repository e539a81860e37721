"""Changes in GraphQL: creating a project, and changing how a task stands."""

from __future__ import annotations

from typing import Any

import pytest
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed
from support.graphql import data, refusal
from support.live import LiveServer
from support.rows import rows

from app.services.projects.details import any_project
from sql.tables import agent_tasks, projects, run_events, runs


async def test_a_project_is_created_by_the_rules_of_any_other(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    document = "mutation($input: CreateProjectInput!) { createProject(input: $input) { id name objective status } }"
    config = '{"clientName": "Acme", "description": "A shop"}'

    made = await data(sanic_client, mine, document, input={"name": " Hat Shop ", "objective": "Sell", "config": config})
    plain = await data(sanic_client, mine, document, input={"name": "Plain", "objective": "Sell"})

    assert made["createProject"] == {"id": "hat-shop", "name": "Acme", "objective": "Sell", "status": "PLANNING"}
    assert plain["createProject"]["id"] == "plain"
    stored = await any_project(sanic_client.ctx, "plain")
    assert (stored.tenant_id, stored.description) == (tenant.tenant_id, "Sell")
    for wrong, place in (
        ({"name": "", "objective": "Sell"}, ["name"]),
        ({"name": "x", "objective": "Sell", "config": "{"}, ["config"]),
        ({"name": "x", "objective": "Sell", "config": '{"budget": 1}'}, ["config", "budget"]),
        ({"name": "x", "objective": "Sell", "config": '{"description": "\\u0000"}'}, ["config", "description"]),
    ):
        error = await refusal(sanic_client, mine, document, input=wrong)
        assert (error["extensions"]["code"], error["extensions"]["fields"][0]["loc"]) == ("validation_error", place)
    blank = await refusal(sanic_client, mine, document, input={"name": "x", "objective": " "})
    assert blank["extensions"]["code"] == "project_incomplete"
    nobody = await licensed(sanic_client, state=None)
    without = await as_tenant(sanic_client, nobody.tenant_id)
    refused = await refusal(sanic_client, without, document, input={"name": "x", "objective": "y"})
    assert refused["extensions"]["code"] == "subscription_missing"
    assert len(await rows(sanic_client, projects.select())) == 2


UPDATE = """mutation($input: UpdateTaskInput!) { updateTask(input: $input) {
  id status errorMessage completedAt project { status completedTasks failedTasks totalTasks } } }"""


async def test_a_task_is_changed_with_all_that_follows(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    _, ids = going_on

    async def change(place: int, who: dict[str, str] = mine, **more: Any) -> Any:
        return (await data(sanic_client, who, UPDATE, input={"taskId": str(ids[place]), **more}))["updateTask"]

    noted = await change(3, errorMessage="slow")
    assert (noted["status"], noted["errorMessage"], noted["completedAt"]) == ("IN_PROGRESS", "slow", None)
    again = await change(3, status="PENDING", errorMessage="once more")
    assert (again["status"], again["project"]["status"]) == ("PENDING", "IN_PROGRESS")
    off = await change(5, status="CANCELLED", errorMessage="not needed")
    assert (off["status"], off["project"]["status"]) == ("CANCELLED", "IN_PROGRESS")
    # The last open one: with it the run ends.
    failed = await change(3, await as_operator(sanic_client), status="FAILED", errorMessage="given up")
    assert (failed["status"], failed["errorMessage"]) == ("FAILED", "given up")
    assert failed["project"] == {"status": "FAILED", "completedTasks": 3, "failedTasks": 2, "totalTasks": 6}
    kinds = [row.kind for row in await rows(sanic_client, run_events.select().order_by(run_events.c.number))]
    assert kinds == ["task_retried", "task_cancelled", "task_failed", "run_failed"]


@pytest.mark.parametrize(
    ("place", "status", "code"),
    [(0, "FAILED", "task_ended"), (3, "IN_PROGRESS", "task_ended"), (5, "COMPLETED", "task_ended"),
     (5, "PENDING", "task_ended"), (None, "FAILED", "task_not_found")],
)  # fmt: skip
async def test_a_task_that_may_not_be_changed_stays_as_it_is(
    sanic_client: LiveServer,
    mine: dict[str, str],
    going_on: tuple[str, list[int]],
    place: int | None,
    status: str,
    code: str,
) -> None:
    task_id = "12x" if place is None else str(going_on[1][place])
    before = await rows(sanic_client, agent_tasks.select().order_by(agent_tasks.c.id))

    error = await refusal(sanic_client, mine, UPDATE, input={"taskId": task_id, "status": status})

    assert error["extensions"]["code"] == code
    assert await rows(sanic_client, agent_tasks.select().order_by(agent_tasks.c.id)) == before
    assert await rows(sanic_client, run_events.select()) == []


async def test_only_who_may_changes_a_task(
    sanic_client: LiveServer, tenant: Licensed, going_on: tuple[str, list[int]]
) -> None:
    other = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    change = {"taskId": str(going_on[1][3]), "status": "COMPLETED"}

    theirs = await refusal(sanic_client, other, UPDATE, input=change)
    reader = await refusal(sanic_client, await as_operator(sanic_client, "read_only"), UPDATE, input=change)

    assert (theirs["extensions"]["code"], reader["extensions"]["code"]) == ("task_not_found", "permission_missing")
    ((state, events),) = [(row.state, row.events) for row in await rows(sanic_client, runs.select())]
    assert (state, events) == ("running", 0)
