"""Changes of runs and projects in GraphQL: what each does, its event in the trail, and why it may be refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed
from support.graphql import data, post, refusal, stored_project
from support.live import LiveServer
from support.llm_usage import USD
from support.rows import rows, told
from support.runs import ready_project, run_row

from app.services.projects.details import any_project
from sql.tables import activation_codes, projects, runs

PROBLEMS = "problems { code message remedy field path status }"


def change(name: str, kind: str, answered: str) -> str:
    """The document of a change."""
    return f"mutation($input: {kind}!) {{ {name}(input: $input) {{ {answered} {PROBLEMS} }} }}"


START = change("startRun", "StartRunInput", "run { id state project { id status } }")
RESTART = change("restartRun", "StartRunInput", "run { id state }")
CANCEL = change("cancelRun", "CancelRunInput", "run { id state endedAt project { status } }")
SETTINGS = "name clientName description customInstructions isActive priority providerOverride modelOverride"
SETTINGS += " temperatureOverride maxTokensOverride monthlyBudgetOverride activationCodeId showCompletionModal version"
UPDATE = change("updateProject", "UpdateProjectInput", f"project {{ id name settings {{ {SETTINGS} }} }}")
CREATE = change(
    "createOperatorProject",
    "CreateOperatorProjectInput",
    f"project {{ id name runs {{ nodes {{ id }} }} settings {{ {SETTINGS} }} }}",
)
DELETE = change("deleteProject", "DeleteProjectInput", "projectId")
ASSIGN = change("assignActivationCode", "AssignActivationCodeInput", "project { settings { activationCodeId } }")
MODAL = change("showCompletionModal", "ShowCompletionModalInput", "project { settings { showCompletionModal } }")


async def changed(live: LiveServer, who: dict[str, str], document: str, **values: Any) -> Any:
    """What a change answers that has no problem."""
    (answer,) = (await data(live, who, document, input=values)).values()
    assert answer.pop("problems") == []
    return next(iter(answer.values()))


async def problem(live: LiveServer, who: dict[str, str], document: str, **values: Any) -> Any:
    """The only problem of a change, which answers no object."""
    (answer,) = (await data(live, who, document, input=values)).values()
    (only,) = answer.pop("problems")
    assert list(answer.values()) == [None]
    return only


async def types_told(live: LiveServer) -> list[str]:
    """The newest events of the trail, the last one first."""
    return [event.event_type for event in reversed(await told(live))]


async def test_a_run_is_started_cancelled_and_restarted(sanic_client: LiveServer) -> None:
    tenant, mine, project_id = await ready_project(sanic_client)

    started = await changed(sanic_client, mine, START, projectId=project_id)

    assert started == {"id": started["id"], "state": "RUNNING", "project": {"id": project_id, "status": "IN_PROGRESS"}}
    assert (await told(sanic_client))[-1].event_type == "run_started"
    assert (await told(sanic_client))[-1].tenant_id == tenant.tenant_id
    again = await problem(sanic_client, mine, START, projectId=project_id)
    rest = (await sanic_client.http.post(f"/api/tenant/projects/{project_id}/run", headers=mine)).json()
    assert again == {
        "code": rest["errorCode"],
        "message": f"The project {project_id} is running already.",
        "remedy": rest["remedy"],
        "field": None,
        "path": [],
        "status": 409,
    }
    too_soon = await problem(sanic_client, mine, RESTART, projectId=project_id)
    assert (too_soon["code"], too_soon["status"]) == ("restart_refused", 400)

    ended = await changed(sanic_client, mine, CANCEL, runId=started["id"])

    assert (ended["id"], ended["state"], ended["project"]) == (started["id"], "CANCELLED", {"status": "FAILED"})
    assert (await types_told(sanic_client))[0] == "run_cancelled"
    assert (await problem(sanic_client, mine, CANCEL, runId=started["id"]))["code"] == "nothing_runs"
    second = await changed(sanic_client, mine, RESTART, projectId=project_id)
    assert (second["state"], int(second["id"]) > int(started["id"])) == ("RUNNING", True)
    # An operator ends any run by its id, as over HTTP; who may only read ends none.
    reader = await refusal(
        sanic_client, await as_operator(sanic_client, "read_only"), CANCEL, input={"runId": second["id"]}
    )
    assert (reader["extensions"]["code"], reader["extensions"]["permission"]) == ("permission_missing", "runs:write")
    assert (await run_row(sanic_client, int(second["id"]))).state == "running"
    assert (await changed(sanic_client, await as_operator(sanic_client), CANCEL, runId=second["id"]))[
        "state"
    ] == "CANCELLED"
    assert len(await rows(sanic_client, select(runs))) == 2


async def test_a_start_that_is_sent_again_with_its_key_starts_one_run(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client)
    sent = mine | {"idempotency-key": "start-1"}

    answers = [(await post(sanic_client, sent, START, input={"projectId": project_id})).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert [str(row.id) for row in await rows(sanic_client, select(runs))] == [
        answers[0]["data"]["startRun"]["run"]["id"]
    ]


async def test_what_may_not_be_started_or_cancelled_changes_nothing(sanic_client: LiveServer) -> None:
    tenant, mine, project_id = await ready_project(sanic_client)
    started = await changed(sanic_client, mine, START, projectId=project_id)
    other = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    without_code = await stored_project(sanic_client, tenant, "Other")
    before = await told(sanic_client)

    codes = [
        (await problem(sanic_client, other, START, projectId=project_id))["code"],
        (await problem(sanic_client, mine, START, projectId=without_code))["code"],
        (await problem(sanic_client, other, CANCEL, runId=started["id"]))["code"],
        (await problem(sanic_client, mine, CANCEL, runId="999999"))["code"],
    ]
    wrong = await problem(sanic_client, mine, CANCEL, runId="x")
    operator = await refusal(sanic_client, await as_operator(sanic_client), START, input={"projectId": project_id})

    assert codes == ["project_not_found", "project_without_code", "run_not_found", "run_not_found"]
    assert (wrong["code"], wrong["field"], wrong["status"]) == ("validation_error", "runId", 422)
    # As over HTTP, where only a tenant starts its runs.
    assert (operator["extensions"]["code"], operator["extensions"]["status"]) == ("session_missing", 401)
    assert await told(sanic_client) == before
    assert (await run_row(sanic_client, int(started["id"]))).state == "running"


async def test_a_tenant_changes_its_project(sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]) -> None:
    project_id = await stored_project(sanic_client, tenant)

    new = await changed(
        sanic_client,
        mine,
        UPDATE,
        projectId=project_id,
        name=" Caps ",
        clientName="Acme",
        description=" ",
        isActive=False,
    )

    settings = {"name": "Caps", "clientName": "Acme", "description": None, "isActive": False, "priority": "NORMAL"}
    assert (new["id"], new["name"]) == (project_id, "Acme")
    assert {name: new["settings"][name] for name in settings} == settings
    assert (new["settings"]["customInstructions"], new["settings"]["version"]) == ("Sell hats\nShip them", 2)
    event = (await told(sanic_client))[-1]
    assert (event.event_type, event.project_id, event.actor_type) == ("project_updated", project_id, "tenant")
    shown = await changed(sanic_client, mine, MODAL, projectId=project_id, isShown=False)
    assert shown == {"settings": {"showCompletionModal": False}}
    assert (await any_project(sanic_client.ctx, project_id)).show_completion_modal is False


@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", "HIGH"), ("monthlyBudgetOverride", 1), ("version", 1), ("name", ""), ("isActive", None)],
)  # fmt: skip
async def test_a_tenant_changes_nothing_that_is_the_operators(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], field: str, value: Any
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    before = await any_project(sanic_client.ctx, project_id), await told(sanic_client)

    wrong = await problem(sanic_client, mine, UPDATE, projectId=project_id, description="Caps", **{field: value})

    assert (wrong["code"], wrong["field"], wrong["path"], wrong["status"]) == ("validation_error", field, [field], 422)
    assert (await any_project(sanic_client.ctx, project_id), await told(sanic_client)) == before


async def test_an_operator_changes_what_models_do_and_may_cost(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    project_id, operator = await stored_project(sanic_client, tenant), await as_operator(sanic_client)
    wanted = {"priority": "HIGH", "providerOverride": "openai", "temperatureOverride": 0.5, "maxTokensOverride": 128}
    wanted["monthlyBudgetOverride"] = 12 * USD + 1

    new = await changed(sanic_client, operator, UPDATE, projectId=project_id, version=1, **wanted)

    assert {name: new["settings"][name] for name in wanted} == wanted
    assert (await told(sanic_client))[-1].event_type == "project_updated"
    assert (await changed(sanic_client, operator, UPDATE, projectId=project_id, monthlyBudgetOverride=None))[
        "settings"
    ]["monthlyBudgetOverride"] is None
    stale = await problem(sanic_client, operator, UPDATE, projectId=project_id, version=1, priority="LOW")
    assert (stale["code"], stale["status"]) == ("version_conflict", 412)
    for field, value in (
        ("monthlyBudgetOverride", -1),
        ("maxTokensOverride", 1),
        ("name", "Caps"),
        ("providerOverride", "x"),
    ):
        wrong = await problem(sanic_client, operator, UPDATE, projectId=project_id, **{field: value})
        assert (wrong["code"], wrong["field"]) == ("validation_error", field)
    unpriced = await problem(sanic_client, operator, UPDATE, projectId=project_id, modelOverride="nobody-knows-it")
    rest = await sanic_client.http.put(
        f"/api/llm/projects/{project_id}", headers=operator, json={"modelOverride": "nobody-knows-it"}
    )
    assert unpriced["code"] == rest.json()["errorCode"]
    reader = await as_operator(sanic_client, "read_only")
    refused = await refusal(sanic_client, reader, UPDATE, input={"projectId": project_id, "priority": "LOW"})
    assert (refused["extensions"]["code"], refused["extensions"]["permission"]) == (
        "permission_missing",
        "projects:write",
    )
    assert (await any_project(sanic_client.ctx, project_id)).version == 3


async def test_an_operator_creates_a_project_of_no_tenant(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    operator, wanted = await as_operator(sanic_client), {"projectId": "own.1", "clientName": " Own ", "priority": "LOW"}

    new = await changed(sanic_client, operator, CREATE, **wanted, description=" ")

    assert (new["id"], new["name"], new["settings"]["priority"]) == ("own.1", "Own", "LOW")
    assert (new["settings"]["description"], new["settings"]["isActive"], new["runs"]) == (None, True, {"nodes": []})
    assert (await told(sanic_client))[-1].event_type == "project_created"
    assert (await any_project(sanic_client.ctx, "own.1")).tenant_id is None
    assert (await problem(sanic_client, operator, CREATE, **wanted))["code"] == "project_conflict"
    wrong = await problem(sanic_client, operator, CREATE, projectId="/", clientName="x")
    assert (wrong["code"], wrong["field"]) == ("validation_error", "projectId")
    refused = await refusal(sanic_client, mine, CREATE, input=wanted)
    assert refused["extensions"]["code"] == "operator_missing"
    assert len(await rows(sanic_client, select(projects))) == 1


async def test_changes_of_one_document_each_show_what_they_have_made(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    document = """mutation($id: String!) {
      one: updateProject(input: {projectId: $id, clientName: "One"}) { project { name settings { version } } }
      two: updateProject(input: {projectId: $id, clientName: "Two"}) { project { name settings { version } } } }"""

    made = await data(sanic_client, mine, document, id=project_id)

    assert made["one"] == {"project": {"name": "One", "settings": {"version": 2}}}
    assert made["two"] == {"project": {"name": "Two", "settings": {"version": 3}}}


async def test_a_project_gets_a_code_and_is_deleted(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    ((code_id,),) = await rows(
        sanic_client, select(activation_codes.c.id).where(activation_codes.c.tenant_id == tenant.tenant_id)
    )
    unknown = await problem(sanic_client, mine, ASSIGN, projectId=project_id, activationCode="AAAA-AAAA")

    new = await changed(sanic_client, mine, ASSIGN, projectId=project_id, activationCode=tenant.codes[0].lower())

    assert unknown["code"] == "activation_code_invalid"
    assert new == {"settings": {"activationCodeId": str(code_id)}}
    assert (await told(sanic_client))[-1].event_type == "code_assigned"
    again = await problem(sanic_client, mine, ASSIGN, projectId=project_id, activationCode=tenant.codes[0])
    assert again["code"] == "project_has_code"
    started = await changed(sanic_client, mine, START, projectId=project_id)
    assert (await problem(sanic_client, mine, DELETE, projectId=project_id))["code"] == "project_running"
    await changed(sanic_client, mine, CANCEL, runId=started["id"])
    other = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    assert (await problem(sanic_client, other, DELETE, projectId=project_id))["code"] == "project_not_found"
    assert await changed(sanic_client, mine, DELETE, projectId=project_id) == project_id
    assert (await told(sanic_client))[-1].event_type == "project_deleted"
    second = await stored_project(sanic_client, tenant, "Other")
    assert await changed(sanic_client, await as_operator(sanic_client, "operator"), DELETE, projectId=second) == second
    assert await rows(sanic_client, select(projects)) == []
