"""The history of settings: filters, and pages that neither skip nor repeat."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from support.admin import as_operator
from support.clocks import MovableClock
from support.live import LiveServer
from support.llm import DEFAULT_SYSTEM, SYSTEM, asked, history, project_with, told
from support.statements import counted_statements

MEMBERS = [
    *("id", "scope", "projectId", "agentType", "field", "oldValue", "newValue"),
    *("version", "actorType", "actorName", "changedAt"),
]


async def test_a_change_says_who_when_and_what(sanic_client: LiveServer, clock: MovableClock) -> None:
    await told(sanic_client, "PUT", "/system", role="owner", json={**DEFAULT_SYSTEM, "dailyBudget": 0.000000001})

    (change,) = await history(sanic_client)

    assert list(change) == MEMBERS
    assert (change["field"], change["oldValue"], change["newValue"]) == ("dailyBudget", 50.0, 1e-9)
    assert (change["actorType"], change["actorName"]) == ("program", "token tests as owner")
    assert change["changedAt"].endswith("Z")
    assert 0 <= (clock.now() - datetime.fromisoformat(change["changedAt"])).total_seconds() < 60


async def test_each_filter_chooses_and_all_together_do(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    first, second = await project_with(live), await project_with(live)
    await told(live, "PUT", "/system", json={**DEFAULT_SYSTEM, "maxTokens": 64, "temperature": 1.0})
    await told(live, "PUT", f"/projects/{first}/agents/coder", json={"maxTokensOverride": 64})
    clock.move(hours=2)
    border = clock.now().isoformat()
    await told(live, "PUT", f"/projects/{first}/agents/qa", json={"maxTokensOverride": 64, "enabled": False})
    await told(live, "PUT", f"/projects/{second}/agents/qa", role="owner", json={"customPrompt": "Test."})
    stored = await history(live)
    assert len(stored) == 6

    for query, member, value in (
        ({"scope": "system"}, "scope", "system"),
        ({"scope": "agent"}, "scope", "agent"),
        ({"project_id": first}, "projectId", first),
        ({"agent_type": "qa"}, "agentType", "qa"),
        ({"field": "maxTokensOverride"}, "field", "maxTokensOverride"),
        ({"field": "max_tokens_override"}, "field", "maxTokensOverride"),
        ({"actor": "token tests as owner"}, "actorName", "token tests as owner"),
    ):
        expected = [change for change in stored if change[member] == value]
        assert 0 < len(expected) < len(stored)
        assert await history(live, **query) == expected, query
    assert await history(live, since=border) == stored[:3]
    assert await history(live, until=border) == stored[3:]
    everything = {"scope": "agent", "project_id": first, "agent_type": "qa", "field": "enabled"}
    everything |= {"actor": "token tests as operator", "since": border}
    assert [(change["field"], change["newValue"]) for change in await history(live, **everything)] == [
        ("enabled", False)
    ]
    assert await history(live, project_id="nothing") == []


async def test_pages_neither_skip_nor_repeat_while_others_write(sanic_client: LiveServer) -> None:
    """All are of the same moment, so that only the ids tell them apart."""
    await told(sanic_client, "PUT", "/system", json=SYSTEM)
    stored = await history(sanic_client)
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}

    for number in range(9):
        page = await told(sanic_client, "GET", "/history", params={"page_size": 2, **cursor})
        seen += page["changes"]
        await told(sanic_client, "PUT", "/system", json={**SYSTEM, "maxTokens": 64 + number})
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert len(stored) == 17
    assert seen == stored
    assert page["next_cursor"] is None


async def test_a_page_is_one_statement_and_ends_where_the_history_ends(sanic_client: LiveServer) -> None:
    await told(sanic_client, "PUT", "/system", json=SYSTEM)
    headers = await as_operator(sanic_client, "read_only")

    for size in (1, 17, 200):
        with counted_statements(sanic_client.runtime.db) as statements:
            answer = await sanic_client.http.get(f"/api/llm/history?page_size={size}", headers=headers)
        page = answer.json()
        assert (len(page["changes"]), page["next_cursor"] is None) == (min(size, 17), size >= 17)
        # Finding the token, and the page.
        assert len(statements) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scope", "tenant"),
        ("project_id", "a\x00b"),
        ("project_id", "p" * 101),
        ("agent_type", "\x00"),
        ("field", "f" * 51),
        ("actor", "\x00"),
        ("since", "2026-01-01T00:00:00"),
        ("until", "1700000000"),
        ("cursor", "nonsense"),
        ("cursor", "LTEuLTE"),
        ("page_size", "0"),
        ("page_size", "201"),
        ("page_size", "9223372036854775808"),
    ],
)
async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer, field: str, value: str) -> None:
    answer = await asked(sanic_client, "GET", "/history", params={field: value})

    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", field])
