"""Models without a price: refused wherever one is chosen, because no budget can be kept with them."""

from __future__ import annotations

import pytest
from support.live import LiveServer
from support.llm import DEFAULT_SYSTEM, agent_with, asked, history, project_with, told

UNKNOWN = "my-own-model"


async def projects_and_agents(live: LiveServer, project_id: str) -> dict[str, tuple[str, dict[str, object]]]:
    return {
        "system": ("/system", {**DEFAULT_SYSTEM, "openaiModel": UNKNOWN}),
        "project": (f"/projects/{project_id}", {"providerOverride": "openai", "modelOverride": UNKNOWN}),
        "agent": (f"/projects/{project_id}/agents/coder", {"providerOverride": "openai", "modelOverride": UNKNOWN}),
    }


@pytest.mark.parametrize("scope", ["system", "project", "agent"])
async def test_a_model_without_a_price_is_chosen_once_it_has_one(sanic_client: LiveServer, scope: str) -> None:
    path, body = (await projects_and_agents(sanic_client, await project_with(sanic_client)))[scope]

    refused = await asked(sanic_client, "PUT", path, json=body)
    assert (refused.status_code, refused.json()["errorCode"]) == (409, "model_price_missing")
    assert UNKNOWN in refused.json()["detail"]
    assert "PUT /api/llm/prices" in refused.json()["detail"]
    assert await history(sanic_client) == []

    price = {"provider": "openai", "model": UNKNOWN, "inputPrice": 0, "outputPrice": 0}
    await told(sanic_client, "PUT", "/prices", role="owner", json=price)
    await told(sanic_client, "PUT", path, json=body)
    assert UNKNOWN in {change["newValue"] for change in await history(sanic_client)}


async def test_a_provider_that_does_not_know_the_model_is_refused_too(sanic_client: LiveServer) -> None:
    project_id = await project_with(sanic_client)
    await told(sanic_client, "PUT", f"/projects/{project_id}", json={"modelOverride": "gemini-2.5-pro"})

    path = f"/projects/{project_id}"
    refused = await asked(sanic_client, "PUT", path, json={"providerOverride": "anthropic", "modelOverride": UNKNOWN})
    assert refused.json()["provider"] == "anthropic"
    # What does not choose a model is saved whatever the price.
    await agent_with(sanic_client, project_id, provider_override="openai", model_override=UNKNOWN)
    agent = f"{path}/agents/coder"
    assert (await asked(sanic_client, "PUT", agent, json={"customPrompt": "Be kind."})).status_code == 200


async def test_what_holds_says_that_a_call_would_be_refused(sanic_client: LiveServer) -> None:
    project_id = await project_with(sanic_client)
    await agent_with(sanic_client, project_id, provider_override="openai", model_override=UNKNOWN)
    path = f"/projects/{project_id}/effective"

    of_agent = await told(sanic_client, "GET", path, params={"agent": "coder"})
    of_others = await told(sanic_client, "GET", path, params={"agent": "qa"})

    assert of_agent["denial"]["errorCode"] == "model_price_missing"
    assert UNKNOWN in of_agent["denial"]["message"]
    assert of_others["denial"] is None
