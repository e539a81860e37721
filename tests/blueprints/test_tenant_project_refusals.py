"""What is refused of a tenant's projects: each refusal names the field, and nothing is half written."""

from __future__ import annotations

from typing import Any

from support.builders import Licensed
from support.live import LiveServer
from support.projects import PLACE, TEXTS, create, created
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts

INCOMPLETE: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "A"}, ["description", "objectives"]),
    ({"name": "A", "description": "  ", "objectives": "x"}, ["description"]),
    ({"name": "A", "description": "x", "objectives": None}, ["objectives"]),
    ({"name": "A", "description": "x", "objectives": ""}, ["objectives"]),
]


async def test_an_incomplete_project_is_refused_and_says_what_it_lacks(
    sanic_client: LiveServer, mine: dict[str, str]
) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for body, fields in INCOMPLETE:
        answer = await sanic_client.http.post(PLACE, headers=mine, json=body)
        problem = answer.json()
        said = [field for field in fields if field in str(problem.get("detail"))]
        found = (refusal(answer), problem.get("fields"), said)
        findings.add(body, found, ((400, "project_incomplete", []), fields, fields))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\x00b"}, "name"),
    ({"name": 7}, "name"),
    ({"client_name": "x" * 256}, "client_name"),
    ({"clientName": "\x00"}, "clientName"),
    ({"description": "x" * 20_001}, "description"),
    ({"description": "a\x00"}, "description"),
    ({"objectives": "x" * 100_001}, "objectives"),
    ({"objectives": "\x00"}, "objectives"),
    ({"priority": "high"}, "priority"),
    ({"project_id": "mine"}, "project_id"),
]


async def test_what_cannot_be_created_names_the_field(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for wrong, field in WRONG:
        answer = await sanic_client.http.post(PLACE, headers=mine, json={"name": "A", **TEXTS, **wrong})
        findings.add(wrong, refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_texts_of_the_largest_size_are_kept(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    answer = await create(sanic_client, mine, "x" * 100, description="ä" * 20_000, objectives="日" * 100_000)

    assert (answer.status_code, len(answer.json()["customInstructions"])) == (201, 100_000)


async def test_half_a_character_is_no_text(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    body = rb'{"name": "a\ud800", "description": "b", "objectives": "c"}'
    headers = {**mine, "content-type": "application/json"}

    for method, path in (("POST", PLACE), ("PUT", f"{PLACE}/hats")):
        answer = await sanic_client.http.request(method, path, headers=headers, content=body)
        assert (answer.status_code, answer.json()["errorCode"]) == (422, "validation_error")
        assert answer.json()["detail"][0]["loc"] == ["body", "name"]


WRONG_QUERIES = [
    ("page=0", "page"),
    ("page=-1", "page"),
    (f"page={2**63}", "page"),
    ("page_size=0", "page_size"),
    ("page_size=101", "page_size"),
    ("pageSize=101", "pageSize"),
    ("search=a%00b", "search"),
    (f"search={'x' * 201}", "search"),
]


async def test_what_cannot_be_listed_names_the_field(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    findings = Findings()

    for query, field in WRONG_QUERIES:
        answer = await sanic_client.http.get(f"{PLACE}?{query}", headers=mine)
        findings.add(query, refusal(answer), invalid("query", field))

    assert findings.found == findings.expected


NOT_CHANGED: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name"),
    ({"name": " "}, "name"),
    ({"isActive": None}, "isActive"),
    ({"is_active": "yes"}, "is_active"),
    ({"providerOverride": "openai"}, "providerOverride"),
    ({"modelOverride": None}, "modelOverride"),
    ({"temperature_override": 1}, "temperature_override"),
    ({"monthlyBudgetOverride": 1}, "monthlyBudgetOverride"),
    ({"priority": "high"}, "priority"),
    ({"executionStatus": "completed"}, "executionStatus"),
    ({"customInstructions": "x" * 100_001}, "customInstructions"),
    ({"description": "\x00"}, "description"),
]


async def test_what_a_tenant_cannot_change_names_the_field(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    made = await created(sanic_client, tenant)
    before = await row_counts(sanic_client)
    findings = Findings()

    for change, field in NOT_CHANGED:
        answer = await sanic_client.http.put(f"{PLACE}/hat-shop", headers=mine, json={"clientName": "New", **change})
        findings.add(change, refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert (await sanic_client.http.get(f"{PLACE}/hat-shop", headers=mine)).json() == made
    assert await row_counts(sanic_client) == before


async def test_a_preference_that_is_none_names_the_field(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    path = f"{PLACE}/hat-shop/completion-modal-preference?show_modal=perhaps"
    answer = await sanic_client.http.patch(path, headers=mine)

    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "show_modal"])


NO_PROJECTS = ("nothing", "%00", "a%00b", "x" * 500, "..%2f..", "%ED%A0%80", "a b", "'--")


async def test_whatever_is_no_project_is_not_found(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    before = await row_counts(sanic_client)
    findings = Findings()

    for project_id in NO_PROJECTS:
        for method, place in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/completion-modal-preference")):
            path, body = f"{PLACE}/{project_id}{place}", {"json": {}} if method == "PUT" else {}
            answer = await sanic_client.http.request(method, path, headers=mine, **body)
            findings.add(f"{method} {project_id}", refusal(answer), (404, "project_not_found", []))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before
