"""Projects as operators administer them: of all tenants and of none, with versions and their history."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import update
from support.admin import as_operator, as_tenant
from support.builders import licensed, subscribe
from support.clocks import MovableClock
from support.live import LiveServer
from support.projects import LLM_PLACE, assign, created
from support.refusals import Findings, invalid, refusal
from support.rows import change, row_counts, rows, told
from support.statements import counted_statements

from sql.counting import MAX_COUNTED
from sql.tables import projects, setting_changes, tenants


class Operator:
    """An owner's requests about projects."""

    def __init__(self, live: LiveServer, headers: dict[str, str]) -> None:
        self._live, self._headers = live, headers

    async def asked(self, method: str, path: str = "", headers: dict[str, str] | None = None, **more: Any) -> Response:
        """The answer to a request."""
        sent = {**self._headers, **(headers or {})}
        return await self._live.http.request(method, f"{LLM_PLACE}{path}", headers=sent, **more)

    async def made(self, project_id: str = "internal", **more: Any) -> Any:
        """A new project of no tenant."""
        body = {"projectId": project_id, "clientName": "Internal", **more}
        answer = await self.asked("POST", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
async def operator(sanic_client: LiveServer) -> Operator:
    """An owner."""
    return Operator(sanic_client, await as_operator(sanic_client))


async def test_an_operators_project_has_no_tenant_and_says_that_it_never_runs(
    sanic_client: LiveServer, operator: Operator
) -> None:
    project = await operator.made(description="d", customInstructions="c", isActive=False, priority="high")

    assert (project["projectId"], project["clientName"], project["name"]) == ("internal", "Internal", "Internal")
    assert [project[name] for name in ("tenantId", "tenantName", "tenantSlug")] == [None] * 3
    assert (project["isActive"], project["priority"]) == (False, "high")
    assert project["runDenial"]["errorCode"] == "project_without_tenant"
    assert "only a tenant's project can be run" in project["runDenial"]["message"]
    (event,) = [event for event in await told(sanic_client) if event.event_type == "project_created"]
    assert (event.tenant_id, event.project_id, event.actor_type) == (None, "internal", "program")


async def test_an_id_is_given_once(sanic_client: LiveServer, operator: Operator) -> None:
    await operator.made()
    before = await row_counts(sanic_client)

    answer = await operator.asked("POST", json={"projectId": "internal", "clientName": "Other"})

    problem = answer.json()
    assert (answer.status_code, problem["errorCode"]) == (400, "project_conflict")
    assert "Project with ID internal already exists" in problem["message"]
    assert await row_counts(sanic_client) == before


async def test_an_id_may_be(operator: Operator) -> None:
    findings = Findings()
    for project_id in ("A", "a.b-c_D9", "_x", "0", "x" * 100):
        made = await operator.asked("POST", json={"projectId": project_id, "clientName": "Internal"})
        found = await operator.asked("GET", f"/{project_id}")
        shown = (made.status_code, found.status_code, found.json().get("projectId"))
        findings.add(project_id, shown, (201, 200, project_id))

    assert findings.found == findings.expected


NOT_CREATED: list[tuple[dict[str, Any], str]] = [
    ({"projectId": ".hidden"}, "projectId"),
    ({"projectId": "-x"}, "projectId"),
    ({"projectId": "../x"}, "projectId"),
    ({"projectId": "a/b"}, "projectId"),
    ({"projectId": "a b"}, "projectId"),
    ({"projectId": "a\n"}, "projectId"),
    ({"projectId": "ä"}, "projectId"),
    ({"projectId": ""}, "projectId"),
    ({"projectId": "x" * 101}, "projectId"),
    ({"projectId": "a\x00"}, "projectId"),
    ({"clientName": " "}, "clientName"),
    ({"clientName": None}, "clientName"),
    ({"clientName": "x" * 256}, "clientName"),
    ({"description": "x" * 20_001}, "description"),
    ({"customInstructions": "x" * 100_001}, "customInstructions"),
    ({"priority": "urgent"}, "priority"),
    ({"tenantId": 1}, "tenantId"),
]


async def test_what_cannot_be_created_names_the_field(sanic_client: LiveServer, operator: Operator) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for wrong, field in NOT_CREATED:
        answer = await operator.asked("POST", json={"projectId": "a", "clientName": "A", **wrong})
        findings.add(wrong, refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_projects_of_all_tenants_are_listed_newest_first(
    sanic_client: LiveServer, operator: Operator, clock: MovableClock
) -> None:
    tenant = await licensed(sanic_client)
    for number in range(11):
        await created(sanic_client, tenant, f"Shop {number}")
        clock.move(seconds=1)
    await operator.made()

    first = (await operator.asked("GET")).json()
    last = (await operator.asked("GET", "?page=2&page_size=10")).json()

    ids = [project["projectId"] for project in (*first["items"], *last["items"])]
    assert ids == ["internal", *(f"shop-{number}" for number in range(10, -1, -1))]
    assert (first["total"], first["page"], first["pageSize"], first["totalPages"]) == (12, 1, 10, 2)
    assert first["items"][1]["tenantSlug"] == tenant.slug


async def test_a_search_finds_projects_of_all_tenants(
    sanic_client: LiveServer, operator: Operator, clock: MovableClock
) -> None:
    for name in ("Hat", "Coat"):
        await created(sanic_client, await licensed(sanic_client), name, client_name=f"{name} 100%", objectives="Sell")
        clock.move(seconds=1)
    await operator.made(customInstructions="sell nothing")

    async def found(search: str, **more: Any) -> list[str]:
        shown = (await operator.asked("GET", params={"search": search, **more})).json()
        return [shown["total"], *(project["projectId"] for project in shown["items"])]

    assert await found("SELL") == [3, "internal", "coat", "hat"]
    assert await found("sell", page=2, page_size=2) == [3, "hat"]
    assert await found("0%") == [2, "coat", "hat"]
    assert await found("intern") == [1, "internal"]
    assert await found("nothing at all") == [0]
    # A text of several words is found as it stands, and not where its words stand apart.
    assert await found("HAT 100%") == [1, "hat"]
    assert await found("hat sell") == [0]
    await operator.made("one-two-three-four")
    assert await found("two-three") == await found("One-Two-Three-Four") == [1, "one-two-three-four"]
    assert await found("two-four") == [0]


async def test_a_search_that_finds_too_many_is_capped(
    sanic_client: LiveServer, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = sanic_client.ctx.now()
    row = {"name": "Many", "created_at": now, "updated_at": now, "created_by": "tests"}
    async with sanic_client.ctx.write() as conn:
        await conn.insert_all(
            projects.insert(), [{"project_id": f"many-{place:05}", **row} for place in range(MAX_COUNTED + 1)]
        )

    shown = (await operator.asked("GET", "?search=many&page_size=3")).json()
    all_of_them = (await operator.asked("GET", "?page_size=3")).json()

    assert (shown["total"], shown["totalIsCapped"]) == (MAX_COUNTED, True)
    assert [project["projectId"] for project in shown["items"]] == [f"many-{MAX_COUNTED - ago:05}" for ago in range(3)]
    assert (all_of_them["total"], all_of_them["totalIsCapped"]) == (MAX_COUNTED + 1, False)


async def test_a_page_takes_the_same_statements_whatever_it_holds(sanic_client: LiveServer, operator: Operator) -> None:
    for number in range(3):
        # One of them finds the token, one reads the page, one the settings of agents, and one what a search finds.
        for query, most in (("", 3), ("?search=shop", 4)):
            with counted_statements(sanic_client.runtime.db) as seen:
                assert (await operator.asked("GET", query)).status_code == 200
            assert len(seen) == most, (number, query, seen)
        for _ in range(4):
            await created(sanic_client, await licensed(sanic_client), "Shop")


async def test_a_project_of_a_tenant_that_is_being_deleted_is_hidden(
    sanic_client: LiveServer, operator: Operator
) -> None:
    tenant = await licensed(sanic_client)
    await created(sanic_client, tenant)
    await operator.made()
    gone = update(tenants).where(tenants.c.id == tenant.tenant_id).values(deleted_at=sanic_client.ctx.now())
    await change(sanic_client, gone)

    for query in ("", "?search=h"):
        shown = (await operator.asked("GET", query)).json()["items"]
        assert [project["projectId"] for project in shown if project["tenantId"]] == []
    for method in ("GET", "PUT", "DELETE"):
        sent = {"json": {"isActive": False}} if method == "PUT" else {}
        assert (await operator.asked(method, "/hat-shop", **sent)).status_code == 404
    assert len(await rows(sanic_client, projects.select())) == 2


async def test_each_setting_is_changed_told_and_put_back(sanic_client: LiveServer, operator: Operator) -> None:
    await operator.made()
    changes: dict[str, Any] = {
        "clientName": "Client",
        "description": "What",
        "customInstructions": "How",
        "isActive": False,
        "priority": "critical",
        "providerOverride": "anthropic",
        "modelOverride": "claude-sonnet-4-5",
        "temperatureOverride": 0.25,
        "maxTokensOverride": 4096,
        "monthlyBudgetOverride": 12.345678901,
    }
    for place, (name, value) in enumerate(changes.items(), start=2):
        answer = await operator.asked("PUT", "/internal", json={name: value})
        assert (answer.status_code, answer.json()[name]) == (200, value), answer.text
        assert answer.headers["etag"] == f'"{place}"'

    (row,) = await rows(sanic_client, projects.select())
    assert row.monthly_budget_override == 12_345_678_901
    inherited = {name: None for name in changes if name.endswith("Override")}
    back = await operator.asked("PUT", "/internal", json={**inherited, "description": None, "clientName": None})
    assert {name: back.json()[name] for name in inherited} == inherited
    assert (back.json()["clientName"], back.json()["description"]) == ("Internal", "How")
    history = await rows(sanic_client, setting_changes.select().order_by(setting_changes.c.id))
    assert [row.field for row in history[:10]] == [
        *("client_name", "description", "custom_instructions", "is_active", "priority"),
        *("provider_override", "model_override", "temperature_override", "max_tokens_override"),
        "monthly_budget_override",
    ]
    assert [row.version for row in history] == [*range(2, 12), *[12] * 7]
    assert {(row.scope, row.actor_type) for row in history} == {("project", "program")}
    assert (history[9].old_value, history[9].new_value) == ("null", "12345678901")


async def test_the_event_of_a_change_names_the_fields(sanic_client: LiveServer, operator: Operator) -> None:
    await operator.made()
    await operator.asked("PUT", "/internal", json={"priority": "low", "modelOverride": "gemini-2.5-pro"})

    (event,) = [event for event in await told(sanic_client) if event.event_type == "project_updated"]

    assert event.metadata == '{"fields":["model_override","priority"],"version":2}'
    assert (event.project_id, event.title) == ("internal", "Project Internal updated")


async def test_a_version_that_is_gone_changes_nothing(sanic_client: LiveServer, operator: Operator) -> None:
    await operator.made()
    tag = (await operator.asked("GET", "/internal")).headers["etag"]
    assert tag == '"1"'

    async def put(if_match: str | None, priority: str) -> tuple[int, str | None]:
        headers = {"if-match": if_match} if if_match else {}
        answer = await operator.asked("PUT", "/internal", headers, json={"priority": priority})
        return answer.status_code, answer.headers.get("etag")

    assert await put(tag, "low") == (200, '"2"')
    assert await put(tag, "high") == (412, None)
    assert await put('"1", "2"', "high") == (200, '"3"')
    # What changes nothing makes no version.
    assert await put('"3"', "high") == (200, '"3"')
    assert await put("*", "normal") == (200, '"4"')
    assert await put(None, "low") == (200, '"5"')
    stale = await operator.asked("PUT", "/internal", {"if-match": '"1"'}, json={"priority": "critical"})
    assert (stale.json()["errorCode"], stale.json()["version"]) == ("version_conflict", 5)
    assert len(await rows(sanic_client, setting_changes.select())) == 4


async def test_a_tenants_change_makes_a_version_too(sanic_client: LiveServer, operator: Operator) -> None:
    tenant = await licensed(sanic_client)
    await created(sanic_client, tenant)
    mine = await as_tenant(sanic_client, tenant.tenant_id)

    path = "/api/tenant/projects/hat-shop"
    await sanic_client.http.put(path, headers=mine, json={"custom_instructions": "Sell more"})
    await sanic_client.http.patch(f"{path}/completion-modal-preference?show_modal=false", headers=mine)

    shown = await operator.asked("GET", "/hat-shop")
    assert (shown.headers["etag"], shown.json()["customInstructions"]) == ('"2"', "Sell more")


NOT_SET: list[tuple[dict[str, Any], str]] = [
    ({"providerOverride": "mistral"}, "providerOverride"),
    ({"modelOverride": "x" * 101}, "modelOverride"),
    ({"modelOverride": "\x00"}, "modelOverride"),
    ({"temperatureOverride": -0.1}, "temperatureOverride"),
    ({"temperatureOverride": 2.1}, "temperatureOverride"),
    ({"temperature_override": "1"}, "temperature_override"),
    ({"maxTokensOverride": 63}, "maxTokensOverride"),
    ({"maxTokensOverride": 8193}, "maxTokensOverride"),
    ({"maxTokensOverride": 2**63}, "maxTokensOverride"),
    ({"maxTokensOverride": 100.5}, "maxTokensOverride"),
    ({"monthlyBudgetOverride": -1}, "monthlyBudgetOverride"),
    ({"monthlyBudgetOverride": 1_000_000_001}, "monthlyBudgetOverride"),
    ({"monthlyBudgetOverride": 2**63}, "monthlyBudgetOverride"),
    ({"monthlyBudgetOverride": 1e300}, "monthlyBudgetOverride"),
    ({"monthlyBudgetOverride": 0.0000000001}, "monthlyBudgetOverride"),
    ({"monthlyBudgetOverride": "12"}, "monthlyBudgetOverride"),
    ({"monthly_budget_override": True}, "monthly_budget_override"),
    ({"isActive": None}, "isActive"),
    ({"priority": None}, "priority"),
    ({"customInstructions": "x" * 100_001}, "customInstructions"),
    ({"projectId": "other"}, "projectId"),
    ({"executionStatus": "running"}, "executionStatus"),
    ({"activationCodeId": 1}, "activationCodeId"),
]


async def test_what_cannot_be_set_names_the_field(sanic_client: LiveServer, operator: Operator) -> None:
    made = await operator.made()
    before = await row_counts(sanic_client)
    findings = Findings()

    for wrong, field in NOT_SET:
        answer = await operator.asked("PUT", "/internal", json={"clientName": "New", **wrong})
        findings.add(wrong, refusal(answer), invalid("body", field))
    for field in ("temperatureOverride", "monthlyBudgetOverride"):
        for number in ("NaN", "Infinity", "-Infinity", "1e999"):
            headers = {"content-type": "application/json"}
            answer = await operator.asked("PUT", "/internal", headers, content=f'{{"{field}": {number}}}'.encode())
            findings.add(f"{field}: {number}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before
    assert (await operator.asked("GET", "/internal")).json() == made


async def test_why_a_project_cannot_be_run_follows_its_tenant(sanic_client: LiveServer, operator: Operator) -> None:
    tenant = await licensed(sanic_client)
    await created(sanic_client, tenant)

    async def denial() -> Any:
        (listed,) = (await operator.asked("GET")).json()["items"]
        one = (await operator.asked("GET", "/hat-shop")).json()
        assert listed == one
        return one["runDenial"] and one["runDenial"]["errorCode"]

    assert await denial() == "project_without_code"
    await assign(sanic_client, await as_tenant(sanic_client, tenant.tenant_id), "hat-shop", tenant.codes[0])
    assert await denial() is None
    await subscribe(sanic_client, tenant, "past_due")
    assert await denial() == "subscription_inactive"
    await subscribe(sanic_client, tenant, "trialing")
    assert await denial() is None
    await operator.asked("PUT", "/hat-shop", json={"customInstructions": None, "description": None})
    assert await denial() == "project_incomplete"


async def test_projects_of_tenants_and_of_none_are_deleted(sanic_client: LiveServer, operator: Operator) -> None:
    await operator.made()
    await created(sanic_client, await licensed(sanic_client))

    answers = [await operator.asked("DELETE", f"/{one}") for one in ("internal", "internal", "hat-shop")]
    missing = [await operator.asked("GET", "/internal"), await operator.asked("PUT", "/internal", json={})]

    assert [answer.status_code for answer in answers] == [204, 404, 204]
    assert [(answer.status_code, answer.json()["errorCode"]) for answer in missing] == [(404, "project_not_found")] * 2
    gone = [event.project_id for event in await told(sanic_client) if event.event_type == "project_deleted"]
    assert gone == ["internal", "hat-shop"]


async def test_a_running_project_is_not_deleted(sanic_client: LiveServer, operator: Operator) -> None:
    await created(sanic_client, await licensed(sanic_client))
    await change(sanic_client, update(projects).values(execution_status="running"))

    answer = await operator.asked("DELETE", "/hat-shop")

    assert (answer.status_code, answer.json()["errorCode"]) == (409, "project_running")
