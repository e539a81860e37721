"""The settings that hold: every field of every level is changed by a request, and is seen in what holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from support.admin import as_operator
from support.live import LiveServer
from support.llm import DEFAULT_SYSTEM, SYSTEM, agent_with, asked, project_with, told
from support.refusals import Findings
from support.rows import change
from support.statements import counted_statements

from sql.tables import projects

# Where a field of the system is seen.
NAMED_OTHERWISE = {"primaryProvider": "provider", "systemPrompt": "prompt"}
OF_PROJECT = {
    "provider_override": ("anthropic", "provider"),
    "model_override": ("gemini-2.5-pro", "model"),
    "temperature_override": (0.0, "temperature"),
    "max_tokens_override": (100, "maxTokens"),
    "monthly_budget_override": (7_000_000_001, "monthlyBudget"),
    "custom_instructions": ("Use Django.", "prompt"),
}
OF_AGENT = {
    "providerOverride": ("openai", "provider"),
    "modelOverride": ("gemini-2.5-pro", "model"),
    "temperatureOverride": (1.5, "temperature"),
    "maxTokensOverride": (200, "maxTokens"),
    "customPrompt": ("You are a coder.", "prompt"),
    "customInstructions": ("Type everything.", "prompt"),
}
# The first provider stands there no second time; the one that is left moves up.
ORDERS = {"secondaryProvider": ["anthropic", None], "tertiaryProvider": ["openai", None]}


async def effective(live: LiveServer, project_id: str, agent: str | None = "coder") -> dict[str, Any]:
    query = {} if agent is None else {"agent": agent}
    shown: dict[str, Any] = await told(live, "GET", f"/projects/{project_id}/effective", params=query)
    return shown


def value_of(shown: Any) -> Any:
    return shown["value"] if isinstance(shown, dict) else shown


async def test_the_defaults_hold_where_nothing_is_set(sanic_client: LiveServer) -> None:
    shown = await effective(sanic_client, await project_with(sanic_client))

    expected = {NAMED_OTHERWISE.get(field, field): value for field, value in DEFAULT_SYSTEM.items()}
    assert shown.pop("agentType") == "coder"
    assert shown.pop("prompt") == expected.pop("prompt")
    assert shown.pop("denial") is None
    assert shown.pop("model") == {"value": "gemini-2.5-flash", "source": "system"}
    assert shown == {field: {"value": value, "source": "system"} for field, value in expected.items()}


async def test_each_field_of_the_system_is_seen_at_once(sanic_client: LiveServer) -> None:
    project_id = await project_with(sanic_client)
    before = await effective(sanic_client, project_id)
    findings = Findings()

    for field, value in SYSTEM.items():
        await told(sanic_client, "PUT", "/system", json={**DEFAULT_SYSTEM, field: value})
        after = await effective(sanic_client, project_id)
        seen = NAMED_OTHERWISE.get(field, field)
        if seen in ORDERS:
            order = [after[place]["value"] for place in ORDERS]
            findings.add(field, order, ORDERS[seen])
        elif seen == "prompt":
            findings.add(field, (before[seen], after[seen]), (DEFAULT_SYSTEM[field], value))
        else:
            found = (before[seen]["value"], after[seen])
            findings.add(field, found, (DEFAULT_SYSTEM[field], {"value": value, "source": "system"}))

    assert findings.found == findings.expected


# What a project and an agent may set each, and what only one of them may.
OF_BOTH = {
    "primaryProvider": {"provider_override": "openai"},
    "geminiModel": {"model_override": "gemini-2.5-pro"},
    "temperature": {"temperature_override": 1.0},
    "maxTokens": {"max_tokens_override": 300},
}
SPECIFIC = [
    *((level, field, override) for level in ("project", "agent") for field, override in OF_BOTH.items()),
    ("project", "monthlyBudget", {"monthly_budget_override": 5_000_000_000}),
    ("agent", "systemPrompt", {"custom_prompt": "You are a coder."}),
]


async def test_a_more_specific_value_stays_when_the_systems_changes(sanic_client: LiveServer) -> None:
    findings = Findings()
    for level, field, override in SPECIFIC:
        project_id = await project_with(sanic_client, **(override if level == "project" else {}))
        if level == "agent":
            await agent_with(sanic_client, project_id, **override)
        seen = {**NAMED_OTHERWISE, "geminiModel": "model"}.get(field, field)
        await told(sanic_client, "PUT", "/system", json=DEFAULT_SYSTEM)
        before = await effective(sanic_client, project_id)

        await told(sanic_client, "PUT", "/system", json={**DEFAULT_SYSTEM, field: SYSTEM[field]})

        after = await effective(sanic_client, project_id)
        source = "none is shown" if seen == "prompt" else after[seen]["source"]
        expected = "none is shown" if seen == "prompt" else level
        findings.add(f"{level}: {field}", (after[seen], source), (before[seen], expected))

    assert findings.found == findings.expected


async def test_each_override_of_a_project_is_seen_and_inherits_again(sanic_client: LiveServer) -> None:
    project_id, other = [await project_with(sanic_client) for _ in range(2)]
    before = await effective(sanic_client, project_id)
    of_project = update(projects).where(projects.c.project_id == project_id)
    findings = Findings()

    for column, (value, seen) in OF_PROJECT.items():
        await change(sanic_client, of_project.values({column: value}))
        changed = await effective(sanic_client, project_id)
        of_other = await effective(sanic_client, other)
        await change(sanic_client, of_project.values({column: None}))
        back = await effective(sanic_client, project_id)

        shown = 7.000000001 if seen == "monthlyBudget" else value
        expected = shown if seen == "prompt" else {"value": shown, "source": "project"}
        # Another project has nothing of it.
        found = (changed[seen], changed[seen] != before[seen], of_other == before, back == before)
        findings.add(column, found, (expected, True, True, True))

    assert findings.found == findings.expected


async def test_each_override_of_an_agent_is_seen_and_inherits_again(sanic_client: LiveServer) -> None:
    overrides = {column: value for column, (value, _) in OF_PROJECT.items() if column != "provider_override"}
    prompts = {
        "customPrompt": "You are a coder.\n\nUse Django.",
        "customInstructions": "Use Django.\n\nType everything.",
    }
    project_id = await project_with(sanic_client, **overrides)
    path = f"/projects/{project_id}/agents/coder"
    before = await effective(sanic_client, project_id)
    assert before["prompt"] == "Use Django."
    findings = Findings()

    for field, (value, seen) in OF_AGENT.items():
        await told(sanic_client, "PUT", path, json={field: value})
        changed = await effective(sanic_client, project_id)
        others = [await effective(sanic_client, project_id, agent) for agent in ("qa", None)]
        await told(sanic_client, "PUT", path, json={"enabled": False})
        off = await effective(sanic_client, project_id)
        await told(sanic_client, "PUT", path, json={"enabled": True, field: None})
        back = await effective(sanic_client, project_id)

        expected = prompts[field] if seen == "prompt" else {"value": value, "source": "agent"}
        same = [{**other, "agentType": "coder"} == before for other in (*others, off, back)]
        findings.add(field, (changed[seen], changed[seen] != before[seen], same), (expected, True, [True] * 4))

    assert findings.found == findings.expected


async def test_a_model_does_not_go_with_another_provider(sanic_client: LiveServer) -> None:
    project_id = await project_with(sanic_client, provider_override="openai", model_override="gpt-5.1")
    assert (await effective(sanic_client, project_id))["model"] == {"value": "gpt-5.1", "source": "project"}

    await told(sanic_client, "PUT", f"/projects/{project_id}/agents/coder", json={"providerOverride": "anthropic"})

    shown = await effective(sanic_client, project_id)
    assert shown["model"] == {"value": "claude-3-5-sonnet-20250219", "source": "system"}
    assert [shown[place]["value"] for place in ("provider", "secondaryProvider", "tertiaryProvider")] == [
        "anthropic",
        "gemini",
        "openai",
    ]


async def test_an_agent_is_named_in_any_letter_case_and_an_unknown_one_is_refused(sanic_client: LiveServer) -> None:
    project_id = await project_with(sanic_client)

    assert (await effective(sanic_client, project_id, " Coder "))["agentType"] == "coder"
    assert (await effective(sanic_client, project_id, None))["agentType"] is None
    for agent in ("boss", "", "c" * 51):
        answer = await asked(sanic_client, "GET", f"/projects/{project_id}/effective", params={"agent": agent})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "agent"])


async def test_what_holds_is_read_by_one_statement(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    project_id = await project_with(sanic_client, **{column: value for column, (value, _) in OF_PROJECT.items()})
    path = f"/api/llm/projects/{project_id}/effective?agent=coder"

    for stored in (False, True):
        if stored:
            await told(sanic_client, "PUT", "/system", json=SYSTEM)
            await agent_with(sanic_client, project_id, custom_prompt="You are a coder.")
        with counted_statements(sanic_client.runtime.db) as seen:
            answer = await sanic_client.http.get(path, headers=headers)
        # Finding the token, the three rows, and an own price of the model.
        assert (answer.status_code, len(seen)) == (200, 3), seen
