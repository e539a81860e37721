"""Operators set prices of models, and see those of the models that their settings name."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, update
from support.admin import as_operator
from support.builders import licensed
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import change, row_counts, rows, told
from support.statements import counted_statements

from app.errors import ModelPriceMissingError
from app.services.llm import price_lookup
from app.services.llm import prices as use_cases
from app.services.llm.model_price import cost
from app.services.llm.system_settings import update_system_settings
from sql.tables import agent_settings, model_prices, projects, system_settings, tenants

PATH = "/api/llm/prices"
OWN = {"provider": "openai", "model": "local/llama3:70b", "inputPrice": 0.1, "outputPrice": 0.200000001}
CHANGE = ("old", "new")
DEFAULT_MODELS = [
    ("anthropic", "claude-3-5-sonnet-20250219"),
    ("gemini", "gemini-2.5-flash"),
    ("openai", "gpt-4o"),
]


async def ask(live: LiveServer, method: str, status: int = 200, role: str = "owner", **more: Any) -> Any:
    answer = await live.http.request(method, PATH, headers=await as_operator(live, role), **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(live: LiveServer, **query: Any) -> list[tuple[str, str]]:
    answer = await ask(live, "GET", role="read_only", params=query)
    return [(price["provider"], price["model"]) for price in answer["prices"]]


async def project(live: LiveServer, name: str, **fields: Any) -> None:
    now = live.ctx.now()
    row = {"project_id": name, "name": name, "created_by": "tests", "created_at": now, "updated_at": now, **fields}
    await change(live, insert(projects).values(**row))


async def agent(live: LiveServer, name: str, agent_type: str, **fields: Any) -> None:
    now = live.ctx.now()
    row = {"project_id": name, "agent_type": agent_type, "created_at": now, "updated_at": now, **fields}
    await change(live, insert(agent_settings).values(**row))


async def test_before_any_change_the_models_of_the_defaults_are_listed(sanic_client: LiveServer) -> None:
    answer = await ask(sanic_client, "GET", role="read_only")

    assert [(price["provider"], price["model"]) for price in answer["prices"]] == DEFAULT_MODELS
    assert answer["prices"][1] == {
        "provider": "gemini",
        "model": "gemini-2.5-flash",
        "inputPrice": 0.3,
        "cachedInputPrice": 0.03,
        "outputPrice": 2.5,
        "source": "list",
        "missing": False,
        "updatedAt": None,
        "updatedBy": None,
    }
    assert answer["isCapped"] is False


async def test_an_own_price_comes_before_the_lists_until_it_is_removed(sanic_client: LiveServer) -> None:
    sent = {"provider": "gemini", "model": "gemini-2.5-flash", "inputPrice": 1, "outputPrice": 2.25}
    body = await ask(sanic_client, "PUT", json={**sent, "cachedInputPrice": 0.5})

    assert {name: body[name] for name in sent} == sent
    assert (body["cachedInputPrice"], body["source"], body["updatedBy"]) == (0.5, "own", "token tests as owner")
    assert body in (await ask(sanic_client, "GET"))["prices"]
    async with sanic_client.ctx.read() as conn:
        price = await price_lookup.require_price(conn, sanic_client.ctx, "gemini", "gemini-2.5-flash")
    assert cost(price, input_tokens=10, cached_input_tokens=4, output_tokens=1) == 6 * 1000 + 4 * 500 + 2250

    query = {"provider": "gemini", "model": "gemini-2.5-flash"}
    back = await ask(sanic_client, "DELETE", params=query)
    assert (back["inputPrice"], back["source"], back["updatedAt"]) == (0.3, "list", None)
    assert await ask(sanic_client, "DELETE", params=query) == back
    changes = [orjson.loads(event.metadata) for event in await told(sanic_client)]
    figures = {"input_price": 10**9, "cached_input_price": 5 * 10**8, "output_price": 225 * 10**7}
    assert changes == [{**query, "old": None, "new": figures}, {**query, "old": figures, "new": None}]
    assert {event.event_type for event in await told(sanic_client)} == {"config_updated"}


async def test_a_model_may_have_any_name_that_a_local_server_gives(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "PUT", json=OWN)

    assert (made["model"], made["inputPrice"], made["outputPrice"]) == ("local/llama3:70b", 0.1, 0.200000001)
    (stored,) = await rows(sanic_client, model_prices.select())
    assert (stored.input_price, stored.cached_input_price, stored.output_price) == (10**8, None, 200_000_001)
    gone = await ask(sanic_client, "DELETE", params={"provider": "openai", "model": "local/llama3:70b"})
    assert (gone["missing"], gone["inputPrice"], gone["source"]) == (True, None, None)


async def test_a_change_tells_both_prices_and_the_same_again_nothing(sanic_client: LiveServer) -> None:
    await ask(sanic_client, "PUT", json={**OWN, "cachedInputPrice": 0.05})
    # Absent means unchanged, null that cached input costs as much as any other.
    assert (await ask(sanic_client, "PUT", json={**OWN, "outputPrice": 1}))["cachedInputPrice"] == 0.05
    last = await ask(sanic_client, "PUT", json={**OWN, "cachedInputPrice": None})
    before = (await row_counts(sanic_client))["platform_events"]

    assert await ask(sanic_client, "PUT", json=OWN) == last

    assert (await row_counts(sanic_client))["platform_events"] == before == 3
    event = orjson.loads((await told(sanic_client))[-1].metadata)
    assert (event["old"]["output_price"], event["new"]["output_price"]) == (10**9, 200_000_001)
    assert (event["old"]["cached_input_price"], event["new"]["cached_input_price"]) == (5 * 10**7, None)


async def test_changes_at_once_are_told_one_after_the_other(sanic_client: LiveServer) -> None:
    figures = [{"input_price": number, "output_price": number} for number in range(1, 9)]
    await asyncio.gather(
        *(use_cases.set_price(sanic_client.ctx, "openai", "raced", each) for each in figures),
        *(use_cases.remove_price(sanic_client.ctx, "openai", "raced") for _ in range(4)),
    )

    stored = await rows(sanic_client, model_prices.select())
    changes = [orjson.loads(event.metadata) for event in await told(sanic_client)]
    told_as = {
        side: Counter(str(change[side] and change[side]["input_price"]) for change in changes) for side in CHANGE
    }
    # Each price that was set is what one later change found, except the last one, which is there.
    last = str(stored[0].input_price) if stored else "None"
    assert told_as["old"] + Counter([last]) == told_as["new"] + Counter(["None"])
    assert sum(told_as["new"].values()) >= len(figures)


WRONG = [
    *((field, wrong) for field in ("inputPrice", "outputPrice", "cachedInputPrice") for wrong in (
        "NaN", "Infinity", "-Infinity", "-1e400", "9223372036854775808", "-0.1", "1000000.000000001",
        "0.0000000001", '"1"', "true", "[]",
    )),
    ("inputPrice", "null"),
    ("outputPrice", "null"),
    ("provider", '"mistral"'),
    ("provider", "null"),
    ("model", '""'),
    ("model", '" "'),
    ("model", '"a\\u0000"'),
    ("model", f'"{"m" * 101}"'),
    ("currency", '"EUR"'),
]  # fmt: skip


async def test_a_wrong_field_is_named_and_changes_nothing(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    before = await row_counts(sanic_client)
    findings = Findings()

    for field, wrong in WRONG:
        body = {name: orjson.dumps(value).decode() for name, value in OWN.items()} | {field: wrong}
        content = "{" + ", ".join(f'"{name}": {value}' for name, value in body.items()) + "}"
        answer = await sanic_client.http.put(PATH, headers=headers, content=content.encode())
        findings.add(f"{field}: {wrong}", refusal(answer), invalid("body", field))
    for field in OWN:
        lacking = {name: value for name, value in OWN.items() if name != field}
        answer = await sanic_client.http.put(PATH, headers=headers, json=lacking)
        findings.add(f"no {field}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


WRONG_QUERIES = [
    ({"provider": "openai"}, "model"),
    ({"model": "gpt-4o"}, "provider"),
    ({"provider": "mistral", "model": "x"}, "provider"),
    ({"provider": "openai", "model": "\0"}, "model"),
]


async def test_a_wrong_query_is_named(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    before = await row_counts(sanic_client)
    findings = Findings()

    for query, field in WRONG_QUERIES:
        answer = await sanic_client.http.delete(PATH, headers=headers, params=query)
        findings.add(query, refusal(answer), invalid("query", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_the_dearest_and_the_free_are_prices(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "PUT", json={**OWN, "inputPrice": 1_000_000, "outputPrice": 0})

    assert (made["inputPrice"], made["outputPrice"], made["missing"]) == (1_000_000, 0, False)


async def test_prices_are_the_owners(sanic_client: LiveServer) -> None:
    await ask(sanic_client, "PUT", 403, "operator", json=OWN)
    await ask(sanic_client, "DELETE", 403, "operator", params={"provider": "openai", "model": "gpt-4o"})

    assert (await row_counts(sanic_client))["model_prices"] == 0


async def test_every_model_that_settings_name_is_listed_once(sanic_client: LiveServer) -> None:
    await project(sanic_client, "of-the-primary", model_override="gemini-one")
    await project(sanic_client, "of-openai", model_override="gpt-one", provider_override="openai")
    await project(sanic_client, "twice", model_override="gpt-one", provider_override="openai")
    await project(sanic_client, "provider-only", provider_override="anthropic")
    await agent(sanic_client, "of-openai", "coder", model_override="of-the-projects")
    await agent(sanic_client, "twice", "coder", model_override="claude-one", provider_override="anthropic")
    await agent(sanic_client, "twice", "qa", model_override="is-off", enabled=False)
    await agent(sanic_client, "provider-only", "qa", provider_override="openai")

    assert await listed(sanic_client) == sorted(
        [
            *DEFAULT_MODELS,
            ("gemini", "gemini-one"),
            ("openai", "gpt-one"),
            ("openai", "of-the-projects"),
            ("anthropic", "claude-one"),
        ]
    )
    missing = [price["model"] for price in (await ask(sanic_client, "GET"))["prices"] if price["missing"]]
    assert missing == ["claude-one", "gemini-one", "gpt-one", "of-the-projects"]


async def test_a_project_whose_tenant_is_being_deleted_names_nothing(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await project(sanic_client, "mine", tenant_id=tenant.tenant_id, model_override="gemini-mine")
    await agent(sanic_client, "mine", "coder", model_override="gemini-coder")
    assert ("gemini", "gemini-mine") in await listed(sanic_client)

    await change(sanic_client, update(tenants).values(deleted_at=sanic_client.ctx.now()))

    assert await listed(sanic_client) == DEFAULT_MODELS


async def test_a_list_asks_as_often_whatever_there_is(sanic_client: LiveServer) -> None:
    counts = []
    for number in (0, 1, 20):
        for each in range(number):
            await project(sanic_client, f"project-{number}-{each}", model_override=f"model-{number}-{each}")
            figures = {"input_price": 1, "output_price": 1}
            await use_cases.set_price(sanic_client.ctx, "gemini", f"model-{number}-{each}", figures)
        with counted_statements(sanic_client.runtime.db) as seen:
            assert not (await use_cases.list_prices(sanic_client.ctx)).is_capped
        counts.append(len(seen))

    assert counts == [3, 3, 3]


async def test_own_prices_beyond_the_cap_are_shown_where_settings_name_their_model(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.llm.prices.MAX_OWN", 2)
    for model in ("a", "b", "c", "gpt-4o"):
        await ask(sanic_client, "PUT", json={**OWN, "model": model})

    answer = await ask(sanic_client, "GET")

    assert answer["isCapped"] is True
    own = [price["model"] for price in answer["prices"] if price["source"] == "own"]
    assert own == ["a", "b", "gpt-4o"]
    assert await listed(sanic_client, search="c") != []


async def test_a_search_looks_through_the_list_and_own_prices_up_to_a_hundred(sanic_client: LiveServer) -> None:
    await ask(sanic_client, "PUT", json={**OWN, "model": "gpt-4o"})
    await ask(sanic_client, "PUT", json={**OWN, "model": "my-GPT-4o_mini"})

    found = (await ask(sanic_client, "GET", params={"search": " Gpt-4O "}))["prices"]
    assert {price["model"]: price["source"] for price in found if price["source"] == "own"} == {
        "gpt-4o": "own",
        "my-GPT-4o_mini": "own",
    }
    assert {"gpt-4o-mini", "gpt-4o"} <= {price["model"] for price in found}
    assert len({(price["provider"], price["model"]) for price in found}) == len(found)
    assert await listed(sanic_client, search="o_m") == [("openai", "my-GPT-4o_mini")]
    assert await listed(sanic_client, search="nobody's") == []
    every = await ask(sanic_client, "GET", params={"search": "-"})
    assert (len(every["prices"]), every["isCapped"]) == (100, True)


async def test_a_model_that_nobody_prices_is_refused_with_what_sets_its_price(sanic_client: LiveServer) -> None:
    ctx = sanic_client.ctx
    async with ctx.read() as conn:
        assert await price_lookup.price_of(conn, ctx, "openai", "local/llama3:70b") is None
        with pytest.raises(ModelPriceMissingError) as refused:
            await price_lookup.require_price(conn, ctx, "openai", "local/llama3:70b")
    assert refused.value.values == {"provider": "openai", "model": "local/llama3:70b"}
    assert "portal llm set-price openai local/llama3:70b --input USD --output USD" in refused.value.remedy
    assert "PUT /api/llm/prices" in refused.value.remedy

    await ask(sanic_client, "PUT", json=OWN)

    async with ctx.read() as conn:
        price = await price_lookup.require_price(conn, ctx, "openai", "local/llama3:70b")
    assert (price.source, price.base.input_price, price.base.cached) == ("own", 10**8, 10**8)


async def test_the_systems_own_choice_of_models_is_listed(sanic_client: LiveServer) -> None:
    assert (await row_counts(sanic_client))["system_settings"] == 0
    await update_system_settings(sanic_client.ctx, {"openai_model": "gpt-5.1", "primary_provider": "anthropic"})
    await project(sanic_client, "of-the-primary", model_override="claude-one")

    assert await listed(sanic_client) == [
        ("anthropic", "claude-3-5-sonnet-20250219"),
        ("anthropic", "claude-one"),
        ("gemini", "gemini-2.5-flash"),
        ("openai", "gpt-5.1"),
    ]
    assert len(await rows(sanic_client, system_settings.select())) == 1
