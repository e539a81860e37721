"""The system's settings: read and written whole, with versions, history and an event."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest
from support.admin import as_operator
from support.live import LiveServer
from support.llm import DEFAULT_SYSTEM, SYSTEM, asked, history, told
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows
from support.rows import told as trail
from support.statements import counted_statements

from sql.tables import system_settings

WRITTEN = ("system_settings", "setting_changes", "platform_events")


async def written(live: LiveServer) -> dict[str, int]:
    counts = await row_counts(live)
    return {table: counts[table] for table in WRITTEN}


async def test_the_defaults_hold_until_something_is_changed(sanic_client: LiveServer) -> None:
    answer = await asked(sanic_client, "GET", "/system", "read_only")

    assert answer.json() == DEFAULT_SYSTEM
    assert list(answer.json()) == list(DEFAULT_SYSTEM)
    assert answer.headers["etag"] == '"0"'
    assert await written(sanic_client) == dict.fromkeys(WRITTEN, 0)


@pytest.mark.parametrize("spelling", ["camel", "snake"])
async def test_a_change_is_answered_kept_and_told_field_by_field(sanic_client: LiveServer, spelling: str) -> None:
    snake = {to: SYSTEM[field] for to, field in zip(system_settings.c.keys()[1:], SYSTEM, strict=False)}
    answer = await asked(sanic_client, "PUT", "/system", json=SYSTEM if spelling == "camel" else snake)

    assert (answer.status_code, answer.json(), answer.headers["etag"]) == (200, SYSTEM, '"1"')
    again = await asked(sanic_client, "GET", "/system")
    assert (again.json(), again.headers["etag"]) == (SYSTEM, '"1"')
    changes = await history(sanic_client)
    assert {change["field"]: (change["oldValue"], change["newValue"]) for change in changes} == {
        field: (DEFAULT_SYSTEM[field], SYSTEM[field]) for field in SYSTEM
    }
    assert {(change["scope"], change["version"], change["projectId"], change["agentType"]) for change in changes} == {
        ("system", 1, None, None)
    }
    assert {(change["actorType"], change["actorName"]) for change in changes} == {
        ("program", "token tests as operator")
    }
    (event,) = await trail(sanic_client)
    assert (event.event_type, event.severity, event.title) == ("config_updated", "minor", "System settings updated")
    metadata = orjson.loads(event.metadata)
    assert metadata == {"scope": "system", "fields": list(snake), "version": 1}


@pytest.mark.parametrize("stored", [False, True])
async def test_a_change_to_the_same_writes_nothing(sanic_client: LiveServer, stored: bool) -> None:
    if stored:
        await told(sanic_client, "PUT", "/system", json={**DEFAULT_SYSTEM, "maxTokens": 64})
        await told(sanic_client, "PUT", "/system", json=DEFAULT_SYSTEM)
    before = await written(sanic_client)

    same = await asked(sanic_client, "PUT", "/system", json=DEFAULT_SYSTEM)

    assert (same.status_code, same.json(), same.headers["etag"]) == (200, DEFAULT_SYSTEM, '"2"' if stored else '"0"')
    assert await written(sanic_client) == before


async def test_a_version_that_was_expected_is_changed_and_a_stale_one_is_not(sanic_client: LiveServer) -> None:
    first = await asked(sanic_client, "PUT", "/system", json=SYSTEM, if_match='"0"')
    before = await written(sanic_client)

    for if_match in ('"0"', '"7", "0"', 'W/"1"', "1", "nonsense"):
        stale = await asked(sanic_client, "PUT", "/system", json=DEFAULT_SYSTEM, if_match=if_match)
        assert (stale.status_code, stale.json()["errorCode"], stale.json()["version"]) == (412, "version_conflict", 1)
    # Also where nothing would change.
    assert (await asked(sanic_client, "PUT", "/system", json=SYSTEM, if_match='"0"')).status_code == 412
    assert await written(sanic_client) == before
    assert first.headers["etag"] == '"1"'
    assert (await asked(sanic_client, "PUT", "/system", json=DEFAULT_SYSTEM, if_match='"3", "1"')).status_code == 200
    assert (await asked(sanic_client, "PUT", "/system", json=SYSTEM, if_match="*")).headers["etag"] == '"3"'


async def test_without_a_version_the_last_writer_wins_and_the_history_shows_both(sanic_client: LiveServer) -> None:
    for role, tokens in (("owner", 100), ("operator", 200)):
        await told(sanic_client, "PUT", "/system", role=role, json={**DEFAULT_SYSTEM, "maxTokens": tokens})

    assert (await told(sanic_client, "GET", "/system"))["maxTokens"] == 200
    assert [
        (change["field"], change["oldValue"], change["newValue"], change["version"], change["actorName"])
        for change in await history(sanic_client)
    ] == [
        ("maxTokens", 100, 200, 2, "token tests as operator"),
        ("maxTokens", 4096, 100, 1, "token tests as owner"),
    ]


async def test_fifty_first_changes_at_once_make_one_row_and_fifty_versions(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    bodies = [{**DEFAULT_SYSTEM, "maxTokens": 64 + number} for number in range(50)]

    answers = await asyncio.gather(
        *(sanic_client.http.put("/api/llm/system", headers=headers, json=body) for body in bodies)
    )

    assert Counter(answer.status_code for answer in answers) == {200: 50}
    assert {answer.headers["etag"] for answer in answers} == {f'"{version}"' for version in range(1, 51)}
    changes = await history(sanic_client)
    assert [change["version"] for change in changes] == list(range(50, 0, -1))
    # Each has changed what the one before has left.
    values = [change["newValue"] for change in reversed(changes)]
    assert [change["oldValue"] for change in reversed(changes)] == [4096, *values[:-1]]
    assert sorted(values) == [body["maxTokens"] for body in bodies]
    (row,) = await rows(sanic_client, system_settings.select())
    assert (row.version, row.max_tokens) == (50, values[-1])


async def test_of_fifty_who_expect_the_same_version_one_changes_it(sanic_client: LiveServer) -> None:
    headers = {**await as_operator(sanic_client, "operator"), "if-match": '"0"'}
    bodies = [{**DEFAULT_SYSTEM, "maxTokens": 64 + number} for number in range(50)]

    answers = await asyncio.gather(
        *(sanic_client.http.put("/api/llm/system", headers=headers, json=body) for body in bodies)
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 49}
    assert len(await history(sanic_client)) == 1


WRONG = [
    ("primaryProvider", '"mistral"'),
    ("secondaryProvider", "null"),
    ("geminiModel", '""'),
    ("geminiModel", '"   "'),
    ("openaiModel", f'"{"m" * 101}"'),
    ("openaiModel", '"gpt\\u0000"'),
    ("anthropicModel", '"claude\\n4"'),
    ("anthropicModel", '"\\u200b"'),
    ("temperature", "2.0000001"),
    ("temperature", "-0.1"),
    ("temperature", "NaN"),
    ("temperature", "Infinity"),
    ("temperature", '"0.7"'),
    ("temperature", "true"),
    ("maxTokens", "63"),
    ("maxTokens", "8193"),
    ("maxTokens", "9223372036854775808"),
    ("maxTokens", "NaN"),
    ("maxTokens", "100.5"),
    ("retriesPerProvider", "6"),
    ("retriesPerProvider", "-1"),
    ("monthlyBudget", "-1"),
    ("monthlyBudget", "-Infinity"),
    ("monthlyBudget", "1e999"),
    ("monthlyBudget", "1000000001"),
    ("monthlyBudget", "9223372036854775808"),
    ("dailyBudget", "0.0000000001"),
    ("dailyBudget", "NaN"),
    ("dailyBudget", '"50"'),
    ("templateLearningEnabled", "1"),
    ("cacheEnabled", "null"),
    ("minQualityScore", "101"),
    ("templateMinQuality", "-1"),
    ("systemPrompt", "null"),
    ("systemPrompt", '"a\\u0000b"'),
    ("systemPrompt", '"a\\ud800b"'),
    ("systemPrompt", f'"{"x" * 100_001}"'),
    ("useLlm", "true"),
    ("version", "1"),
]


async def test_a_wrong_field_is_named_and_nothing_is_changed(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    before = await row_counts(sanic_client)
    findings = Findings()

    for field, text in WRONG:
        content = orjson.dumps({**SYSTEM, field: "HERE"}).decode().replace('"HERE"', text)
        answer = await sanic_client.http.put("/api/llm/system", headers=headers, content=content)
        findings.add(f"{field}: {text}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_every_field_is_required(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    before = await row_counts(sanic_client)
    findings = Findings()

    for field in SYSTEM:
        body = {name: value for name, value in SYSTEM.items() if name != field}
        answer = await sanic_client.http.put("/api/llm/system", headers=headers, json=body)
        missing = [wrong["type"] for wrong in answer.json().get("detail", [])]
        findings.add(field, (refusal(answer), missing), (invalid("body", field), ["missing"]))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


EXTREMES: list[dict[str, Any]] = [
    {"temperature": 0, "maxTokens": 64, "retriesPerProvider": 0, "monthlyBudget": 0, "dailyBudget": 0},
    {"temperature": 2, "maxTokens": 8192, "retriesPerProvider": 5, "monthlyBudget": 1e9, "dailyBudget": 1e-9},
    {"minQualityScore": 0, "templateMinQuality": 100, "systemPrompt": "x" * 100_000},
    {"systemPrompt": "Zeile 1\nZeile 2\t\U0001f600 ", "geminiModel": "m" * 100},
    {"primaryProvider": "openai", "secondaryProvider": "openai", "tertiaryProvider": "openai"},
]


async def test_every_bound_can_be_reached(sanic_client: LiveServer) -> None:
    price = {"provider": "gemini", "model": "m" * 100, "inputPrice": 0, "outputPrice": 0}
    await told(sanic_client, "PUT", "/prices", role="owner", json=price)
    findings = Findings()

    for extreme in EXTREMES:
        body = {**SYSTEM, **extreme}
        changed = (await asked(sanic_client, "PUT", "/system", json=body)).json()
        kept = await told(sanic_client, "GET", "/system")
        # Of what is kept, what differs: bodies of 100,000 characters would hide it.
        wrong = [{name for name in body if shown.get(name) != body[name]} for shown in (changed, kept)]
        findings.add(extreme, (wrong, changed.keys()), ([set(), set()], body.keys()))

    assert findings.found == findings.expected


async def test_a_name_of_a_model_has_no_blanks_around_it(sanic_client: LiveServer) -> None:
    set_to = await told(sanic_client, "PUT", "/system", json={**SYSTEM, "openaiModel": " gpt-5.1 "})

    assert set_to["openaiModel"] == "gpt-5.1"


async def test_a_body_of_ten_megabytes_is_refused(sanic_client: LiveServer) -> None:
    answer = await asked(sanic_client, "PUT", "/system", json={**SYSTEM, "systemPrompt": "x" * 10_000_000})

    assert (answer.status_code, answer.json()["errorCode"]) == (413, "payload_too_large")


async def test_a_change_is_the_same_statements_whatever_it_changes(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "operator")
    await told(sanic_client, "PUT", "/system", json={**DEFAULT_SYSTEM, "maxTokens": 64})

    # Beside these, an own price of each of the three models.
    for body, models in ((DEFAULT_SYSTEM, 0), (SYSTEM, 3)):
        with counted_statements(sanic_client.runtime.db) as seen:
            await sanic_client.http.put("/api/llm/system", headers=headers, json=body)
        # Finding the token, the row with its lock, its change, its history, the event.
        assert len(seen) == 5 + models, seen


async def test_who_only_reads_changes_nothing(sanic_client: LiveServer) -> None:
    refused = await asked(sanic_client, "PUT", "/system", "read_only", json=SYSTEM)

    assert (refused.status_code, refused.json()["permission"]) == (403, "llm_settings:write")
