"""What an agent has of its own in a project: created when absent, changed by version, put back to inherit."""

from __future__ import annotations

import asyncio
from collections import Counter

import orjson
from sqlalchemy import update
from support.admin import as_operator
from support.builders import licensed
from support.live import LiveServer
from support.llm import asked, history, project_with, told
from support.refusals import Findings, invalid, refusal
from support.rows import change, row_counts, rows
from support.rows import told as trail

from sql.tables import agent_settings, tenants
from sql.tables.llm import AGENT_TYPES

CODER = {
    "providerOverride": "openai",
    "modelOverride": "gpt-5.1",
    "temperatureOverride": 0.1,
    "maxTokensOverride": 512,
    "customPrompt": "You are a coder.",
    "customInstructions": "Type everything.",
    "enabled": False,
}
UNSET = {**dict.fromkeys(CODER), "enabled": True}


async def test_an_agent_that_has_nothing_of_its_own_gets_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    project_id = await project_with(sanic_client, tenant.tenant_id)
    path = f"/projects/{project_id}/agents/coder"

    missing = await asked(sanic_client, "GET", path)
    answer = await asked(sanic_client, "PUT", path, json=CODER)

    assert (missing.status_code, missing.json()["errorCode"]) == (404, "agent_settings_not_found")
    shown = answer.json()
    assert shown == {"agentType": "coder", **CODER, "updatedAt": shown["updatedAt"]}
    assert shown["updatedAt"].endswith("Z")
    assert answer.headers["etag"] == '"1"'
    again = await asked(sanic_client, "GET", path, "read_only")
    assert (again.json(), again.headers["etag"]) == (shown, '"1"')
    changes = await history(sanic_client)
    assert {change["field"]: (change["oldValue"], change["newValue"]) for change in changes} == {
        field: (UNSET[field], CODER[field]) for field in CODER
    }
    assert {(change["scope"], change["projectId"], change["agentType"], change["version"]) for change in changes} == {
        ("agent", project_id, "coder", 1)
    }
    event = (await trail(sanic_client, tenant.tenant_id))[-1]
    assert (event.event_type, event.project_id) == ("config_updated", project_id)
    assert orjson.loads(event.metadata) == {
        "scope": "agent",
        "agent_type": "coder",
        "fields": [column.name for column in agent_settings.c if column.name in orjson.loads(event.metadata)["fields"]],
        "version": 1,
    }
    assert len(orjson.loads(event.metadata)["fields"]) == len(CODER)
    assert "You are a coder." not in event.metadata


async def test_each_field_is_changed_alone_and_put_back_to_inherit(sanic_client: LiveServer) -> None:
    findings = Findings()
    for field, value in CODER.items():
        # Of the provider whose models these are: only what has a price may be chosen.
        provider = "openai" if field == "modelOverride" else None
        project_id = await project_with(sanic_client, provider_override=provider)
        path = f"/projects/{project_id}/agents/coder"

        changed = await told(sanic_client, "PUT", path, json={field: value})
        # What is absent stays.
        kept = await told(sanic_client, "PUT", path, json={})
        back = await told(sanic_client, "PUT", path, json={field: UNSET[field]})

        shown = [{name: answer[name] for name in CODER} for answer in (changed, kept, back)]
        changes = [
            (entry["field"], entry["oldValue"], entry["newValue"], entry["version"])
            for entry in await history(sanic_client, project_id=project_id)
        ]
        findings.add(
            field,
            (shown, changes),
            (
                [{**UNSET, field: value}, {**UNSET, field: value}, UNSET],
                [(field, value, UNSET[field], 2), (field, UNSET[field], value, 1)],
            ),
        )

    assert findings.found == findings.expected


async def test_a_blank_inherits_too(sanic_client: LiveServer) -> None:
    findings = Findings()
    for field in ("providerOverride", "modelOverride", "customPrompt", "customInstructions"):
        for blank in ("", "  "):
            path = f"/projects/{await project_with(sanic_client)}/agents/coder"
            await told(sanic_client, "PUT", path, json=CODER)
            answer = await asked(sanic_client, "PUT", path, json={field: blank})
            of_field = await told(sanic_client, "GET", path)
            # A provider is chosen, and not typed.
            is_refused = field == "providerOverride" and blank
            findings.add(
                f"{field}: {blank!r}",
                (refusal(answer), of_field[field]),
                (invalid("body", field), CODER[field]) if is_refused else ((200, None, []), None),
            )

    assert findings.found == findings.expected


async def test_snake_case_is_understood_too(sanic_client: LiveServer) -> None:
    path = f"/projects/{await project_with(sanic_client)}/agents/coder"

    changed = await told(sanic_client, "PUT", path, json={"custom_prompt": "Be brief.", "max_tokens_override": 64})

    assert (changed["customPrompt"], changed["maxTokensOverride"]) == ("Be brief.", 64)


async def test_settings_that_set_nothing_may_be_there(sanic_client: LiveServer) -> None:
    path = f"/projects/{await project_with(sanic_client)}/agents/qa"

    answer = await asked(sanic_client, "PUT", path, json={})

    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert {name: answer.json()[name] for name in CODER} == UNSET
    assert await history(sanic_client) == []
    assert len(await rows(sanic_client, agent_settings.select())) == 1


async def test_a_change_to_the_same_writes_nothing(sanic_client: LiveServer) -> None:
    path = f"/projects/{await project_with(sanic_client)}/agents/coder"
    first = await told(sanic_client, "PUT", path, json=CODER)
    before = await row_counts(sanic_client)

    same = await asked(sanic_client, "PUT", path, json=CODER)

    assert (same.json(), same.headers["etag"]) == (first, '"1"')
    # Only the token of whoever asks is new.
    assert await row_counts(sanic_client) == {**before, "api_tokens": before["api_tokens"] + 1}


async def test_a_version_that_was_expected_is_changed_and_a_stale_one_is_not(sanic_client: LiveServer) -> None:
    path = f"/projects/{await project_with(sanic_client)}/agents/coder"

    early = await asked(sanic_client, "PUT", path, json=CODER, if_match='"1"')
    first = await asked(sanic_client, "PUT", path, json=CODER, if_match='"0"')
    stale = await asked(sanic_client, "PUT", path, json={"enabled": True}, if_match='"0"')
    second = await asked(sanic_client, "PUT", path, json={"enabled": True}, if_match=first.headers["etag"])

    assert (early.status_code, early.json()["version"]) == (412, 0)
    assert (stale.status_code, stale.json()["errorCode"], stale.json()["version"]) == (412, "version_conflict", 1)
    assert (first.status_code, second.status_code, second.headers["etag"]) == (200, 200, '"2"')


async def test_first_changes_at_once_make_one_row(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    path = f"/api/llm/projects/{await project_with(sanic_client)}/agents/coder"
    bodies = [{"maxTokensOverride": 64 + number} for number in range(30)]

    answers = await asyncio.gather(*(sanic_client.http.put(path, headers=headers, json=body) for body in bodies))

    assert Counter(answer.status_code for answer in answers) == {200: 30}
    assert {answer.headers["etag"] for answer in answers} == {f'"{version}"' for version in range(1, 31)}
    assert [entry["version"] for entry in await history(sanic_client)] == list(range(30, 0, -1))
    assert [row.version for row in await rows(sanic_client, agent_settings.select())] == [30]


async def test_every_type_of_agent_has_its_own(sanic_client: LiveServer) -> None:
    path = f"/projects/{await project_with(sanic_client)}/agents"
    findings = Findings()

    for agent_type in AGENT_TYPES:
        changed = await asked(sanic_client, "PUT", f"{path}/%20{agent_type.title()}%20", json={"enabled": False})
        findings.add(agent_type, (changed.status_code, changed.json().get("agentType")), (200, agent_type))

    assert findings.found == findings.expected
    assert len(await rows(sanic_client, agent_settings.select())) == len(AGENT_TYPES)


async def test_an_unknown_type_of_agent_is_named(sanic_client: LiveServer) -> None:
    path = f"/api/llm/projects/{await project_with(sanic_client)}/agents"
    headers = await as_operator(sanic_client, "operator")
    before = await row_counts(sanic_client)
    findings = Findings()

    for agent_type in ("boss", "%20", "code%00r", "c" * 500, "%ff"):
        for method, body in (("GET", {}), ("PUT", {"json": {}})):
            answer = await sanic_client.http.request(method, f"{path}/{agent_type}", headers=headers, **body)
            found = (refusal(answer), "orchestrator" in answer.text)
            findings.add(f"{method} {agent_type}", found, (invalid("path", "agent_type"), True))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_a_project_that_is_not_there_is_not_found(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    before = await row_counts(sanic_client)
    findings = Findings()

    for project_id in ("nothing", "a%00b", "p" * 500, "%ff"):
        for method, rest in (("GET", "agents/coder"), ("PUT", "agents/coder"), ("GET", "effective")):
            answer = await sanic_client.http.request(
                method,
                f"/api/llm/projects/{project_id}/{rest}",
                headers=headers,
                json={} if method == "PUT" else None,
            )
            findings.add(f"{method} {project_id[:9]}/{rest}", refusal(answer), (404, "project_not_found", []))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_a_project_of_a_tenant_that_is_being_deleted_is_not_found(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    project_id = await project_with(sanic_client, tenant.tenant_id)
    path = f"/projects/{project_id}/agents/coder"
    await told(sanic_client, "PUT", path, json=CODER)
    hide = update(tenants).where(tenants.c.id == tenant.tenant_id).values(deleted_at=sanic_client.ctx.now())
    await change(sanic_client, hide)

    answers = [
        await asked(sanic_client, "GET", path),
        await asked(sanic_client, "PUT", path, json={"enabled": True}),
        await asked(sanic_client, "GET", f"/projects/{project_id}/effective"),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [(404, "project_not_found")] * 3


WRONG = [
    ("providerOverride", '"mistral"'),
    ("modelOverride", f'"{"m" * 101}"'),
    ("modelOverride", '"a\\u0007b"'),
    ("temperatureOverride", "NaN"),
    ("temperatureOverride", "2.1"),
    ("maxTokensOverride", "9223372036854775808"),
    ("maxTokensOverride", "63"),
    ("customPrompt", '"a\\u0000b"'),
    ("customPrompt", f'"{"x" * 100_001}"'),
    ("customInstructions", '"\\udc00"'),
    ("customInstructions", "3"),
    ("enabled", "null"),
    ("enabled", '"yes"'),
    ("agentType", '"coder"'),
]


async def test_a_wrong_field_is_named_and_nothing_is_changed(sanic_client: LiveServer) -> None:
    path = f"/api/llm/projects/{await project_with(sanic_client)}/agents/coder"
    headers = await as_operator(sanic_client, "operator")
    before = await row_counts(sanic_client)
    findings = Findings()

    for field, text in WRONG:
        content = f'{{"maxTokensOverride": 64, "{field}": {text}}}'
        answer = await sanic_client.http.put(path, headers=headers, content=content)
        findings.add(f"{field}: {text}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before
