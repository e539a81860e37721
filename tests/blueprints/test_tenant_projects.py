"""A tenant's own projects: creating, listing, changing and deleting them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed, subscribe
from support.clocks import MovableClock
from support.live import LiveServer
from support.projects import LLM_PLACE, PLACE, TEXTS, create, created
from support.refusals import Findings, refusal
from support.rows import change, rows, told
from support.statements import counted_statements

from sql.tables import agent_settings, projects, setting_changes

MEMBERS = {
    *("projectId", "name", "clientName", "description", "customInstructions", "isActive", "priority"),
    *("providerOverride", "modelOverride", "temperatureOverride", "maxTokensOverride", "monthlyBudgetOverride"),
    *("activationCodeId", "executionStatus", "showCompletionModal", "tenantId", "tenantName", "tenantSlug"),
    *("createdAt", "updatedAt", "agentPrompts"),
}


async def test_a_project_is_created_with_an_id_of_its_name(sanic_client: LiveServer, tenant: Licensed) -> None:
    project = await created(sanic_client, tenant, "  Hat Shop ")

    assert set(project) == MEMBERS
    assert (project["projectId"], project["name"], project["clientName"]) == ("hat-shop", "Hat Shop", "Hat Shop")
    assert (project["description"], project["customInstructions"]) == tuple(TEXTS.values())
    assert (project["isActive"], project["priority"], project["executionStatus"]) == (True, "normal", "pending")
    assert (project["tenantId"], project["tenantSlug"]) == (tenant.tenant_id, tenant.slug)
    assert (project["showCompletionModal"], project["activationCodeId"], project["agentPrompts"]) == (True, None, [])
    assert project["createdAt"] == project["updatedAt"]
    (row,) = await rows(sanic_client, projects.select())
    assert (row.client_name, row.created_by, row.version) == (None, project["tenantName"], 1)
    (event,) = [event for event in await told(sanic_client, tenant.tenant_id) if event.event_type == "project_created"]
    assert (event.project_id, event.actor_type, event.title) == ("hat-shop", "tenant", "Project Hat Shop created")


async def test_name_and_client_name_are_two(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    for spelling in ("client_name", "clientName"):
        project = (await create(sanic_client, mine, "Hat Shop", **{spelling: " Acme "})).json()
        assert (project["name"], project["clientName"]) == ("Hat Shop", "Acme")
    blank = (await create(sanic_client, mine, "Hat Shop", client_name="  ")).json()
    assert blank["clientName"] == "Hat Shop"


CREATING: list[tuple[str | None, int, str | None]] = [
    ("active", 201, None),
    ("trialing", 201, None),
    ("past_due", 403, "subscription_inactive"),
    ("suspended", 403, "subscription_inactive"),
    (None, 403, "subscription_missing"),
]


async def test_a_subscription_decides_who_may_create(sanic_client: LiveServer) -> None:
    findings = Findings()
    for state, status, code in CREATING:
        tenant_id = (await licensed(sanic_client, state=state)).tenant_id
        answer = await create(sanic_client, await as_tenant(sanic_client, tenant_id))
        made = await rows(sanic_client, projects.select().where(projects.c.tenant_id == tenant_id))
        findings.add(str(state), (refusal(answer), len(made)), ((status, code, []), int(status == 201)))

    assert findings.found == findings.expected


async def test_a_trial_allows_one_project_at_a_time(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state="trialing")
    mine, http = await as_tenant(sanic_client, tenant.tenant_id), sanic_client.http

    answers = [await create(sanic_client, mine, name) for name in ("One", "Two")]
    assert [answer.status_code for answer in answers] == [201, 403]
    assert answers[1].json()["errorCode"] == "trial_project_limit"
    assert "subscribe" in answers[1].json()["remedy"]
    assert (await http.delete(f"{PLACE}/one", headers=mine)).status_code == 204
    assert (await create(sanic_client, mine, "Two")).status_code == 201
    await subscribe(sanic_client, tenant, "active")
    assert (await create(sanic_client, mine, "Three")).status_code == 201


async def test_a_repeated_request_creates_one_project(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    keyed = {**mine, "idempotency-key": "one"}

    answers = [await create(sanic_client, keyed) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(await rows(sanic_client, projects.select())) == 1


async def test_projects_are_listed_newest_first_page_by_page(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], clock: MovableClock
) -> None:
    for name in "abcde":
        await created(sanic_client, tenant, name)
        clock.move(seconds=1)
    await created(sanic_client, await licensed(sanic_client), "other")

    async def page(query: str) -> Any:
        answer = await sanic_client.http.get(f"{PLACE}{query}", headers=mine)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [project["projectId"] for project in (await page(""))["items"]] == list("edcba")
    for spelling in ("page_size", "pageSize"):
        shown = await page(f"?page=2&{spelling}=2")
        assert [project["projectId"] for project in shown.pop("items")] == ["c", "b"]
        assert shown == {
            "total": 5,
            "totalIsCapped": False,
            "page": 2,
            "pageSize": 2,
            "page_size": 2,
            "totalPages": 3,
            "total_pages": 3,
        }
    beyond = await page("?page=9")
    assert (beyond["items"], beyond["total"], beyond["total_pages"]) == ([], 5, 1)


async def test_a_search_finds_a_part_of_any_text(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    await created(sanic_client, tenant, "Alpha One", client_name="Bravo", description="CHARLIE", objectives="delta\n%")
    await created(sanic_client, tenant, "Other", description="x", objectives="y")
    await created(sanic_client, await licensed(sanic_client), "Alpha Two")

    async def found(search: str) -> list[str]:
        answer = await sanic_client.http.get(PLACE, headers=mine, params={"search": search})
        assert answer.json()["total"] == len(answer.json()["items"])
        return [project["projectId"] for project in answer.json()["items"]]

    for search in ("ALPHA", "a-o", "brav", " charlie ", "Delta", "%", "\n%"):
        assert await found(search) == ["alpha-one"], search
    assert await found("_") == []
    assert await found("nothing") == []


async def test_a_page_takes_the_same_statements_whatever_it_holds(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    for number in range(3):
        for search in ("", "?search=shop"):
            with counted_statements(sanic_client.runtime.db) as seen:
                await sanic_client.http.get(f"{PLACE}{search}", headers=mine)
            # One of them finds the session, one reads the page with its total, one the settings of the agents.
            assert len(seen) == 3, (number, search, seen)
        for _ in range(4):
            await created(sanic_client, tenant)


async def test_the_settings_of_agents_stand_beside_their_project(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    now = sanic_client.ctx.now()
    for name in ("One", "Two"):
        await created(sanic_client, tenant, name)
    row = {"project_id": "one", "custom_prompt": "Be brief", "created_at": now, "updated_at": now}
    for kind in ("coder", "qa"):
        await change(sanic_client, agent_settings.insert().values(agent_type=kind, **row))

    items = (await sanic_client.http.get(PLACE, headers=mine)).json()["items"]
    one = (await sanic_client.http.get(f"{PLACE}/one", headers=mine)).json()

    assert {project["projectId"]: len(project["agentPrompts"]) for project in items} == {"one": 2, "two": 0}
    assert [prompt["agentType"] for prompt in one["agentPrompts"]] == ["coder", "qa"]
    assert set(one["agentPrompts"][0]) == {
        *("agentType", "providerOverride", "modelOverride", "temperatureOverride", "maxTokensOverride"),
        *("customPrompt", "customInstructions", "enabled", "updatedAt"),
    }


async def test_a_project_is_changed_as_far_as_it_is_the_tenants(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], clock: MovableClock
) -> None:
    before = await created(sanic_client, tenant, client_name="Acme")
    clock.move(seconds=1)
    form = {"client_name": "Acme Ltd", "description": None, "custom_instructions": "More hats", "is_active": False}

    answer = await sanic_client.http.put(f"{PLACE}/hat-shop", headers=mine, json=form)

    after = answer.json()
    assert answer.status_code == 200, answer.text
    assert (after["clientName"], after["customInstructions"], after["isActive"]) == ("Acme Ltd", "More hats", False)
    # A project without a description shows its objectives.
    assert after["description"] == "More hats"
    assert after["updatedAt"] > before["updatedAt"]
    history = await rows(sanic_client, setting_changes.select().order_by(setting_changes.c.field))
    assert [(row.scope, row.project_id, row.field, row.old_value, row.new_value) for row in history] == [
        ("project", "hat-shop", "client_name", '"Acme"', '"Acme Ltd"'),
        ("project", "hat-shop", "custom_instructions", '"Sell hats\\nShip them"', '"More hats"'),
        ("project", "hat-shop", "description", '"A shop for hats"', "null"),
        ("project", "hat-shop", "is_active", "true", "false"),
    ]
    assert {(row.version, row.actor_type, row.actor_name) for row in history} == {(2, "tenant", after["tenantName"])}
    (event,) = [event for event in await told(sanic_client) if event.event_type == "project_updated"]
    assert event.metadata == ('{"fields":["client_name","custom_instructions","description","is_active"],"version":2}')


async def test_what_changes_nothing_is_no_version(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], clock: MovableClock
) -> None:
    before = await created(sanic_client, tenant)
    clock.move(seconds=1)

    for same in ({}, {"name": " Hat Shop ", "clientName": "", "isActive": True, "description": TEXTS["description"]}):
        answer = await sanic_client.http.put(f"{PLACE}/hat-shop", headers=mine, json=same)
        assert (answer.status_code, answer.json()) == (200, before)

    assert await rows(sanic_client, setting_changes.select()) == []


async def test_a_project_is_deleted_with_what_hangs_on_it(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    await created(sanic_client, tenant)
    await sanic_client.http.put(f"{PLACE}/hat-shop", headers=mine, json={"name": "Hats"})
    now = sanic_client.ctx.now()
    row = {"project_id": "hat-shop", "agent_type": "coder", "created_at": now, "updated_at": now}
    await change(sanic_client, agent_settings.insert().values(**row))

    answers = [await sanic_client.http.delete(f"{PLACE}/hat-shop", headers=mine) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert answers[1].json()["errorCode"] == "project_not_found"
    for table in (projects, agent_settings, setting_changes):
        assert await rows(sanic_client, table.select()) == []
    (event,) = [event for event in await told(sanic_client) if event.event_type == "project_deleted"]
    assert (event.tenant_id, event.project_id, event.title) == (tenant.tenant_id, "hat-shop", "Project Hats deleted")


async def test_a_running_project_is_not_deleted(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    await created(sanic_client, tenant)
    await change(sanic_client, update(projects).values(execution_status="running"))

    answer = await sanic_client.http.delete(f"{PLACE}/hat-shop", headers=mine)

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "project_running")
    assert len(await rows(sanic_client, projects.select())) == 1


@pytest.mark.parametrize(("query", "is_shown"), [("?show_modal=false", False), ("?show_modal=true", True), ("", True)])
async def test_the_dialog_is_preferred_or_not(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], query: str, is_shown: bool
) -> None:
    await created(sanic_client, tenant)
    await change(sanic_client, update(projects).values(show_completion_modal=not is_shown))
    path = f"{PLACE}/hat-shop/completion-modal-preference{query}"

    answer = await sanic_client.http.patch(path, headers=mine)

    shown = answer.json()
    assert (answer.status_code, bool(shown.pop("message"))) == (200, True)
    assert shown == {"success": True, "project_id": "hat-shop", "show_completion_modal": is_shown}
    project = (await sanic_client.http.get(f"{PLACE}/hat-shop", headers=mine)).json()
    assert project["showCompletionModal"] is is_shown


async def test_an_operators_project_is_none_of_the_tenants(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    body = {"projectId": "internal", "clientName": "Internal"}
    made = await sanic_client.http.post(LLM_PLACE, headers=await as_operator(sanic_client), json=body)

    assert made.status_code == 201
    assert (await sanic_client.http.get(f"{PLACE}/internal", headers=mine)).status_code == 404
    assert (await sanic_client.http.get(PLACE, headers=mine)).json()["total"] == 0
