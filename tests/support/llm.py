"""Settings for language models as tests need them: projects and agents that are there, and what operators send."""

from __future__ import annotations

import uuid
from typing import Any

from httpx2 import Response
from sqlalchemy import insert
from support.admin import as_operator
from support.live import LiveServer
from support.rows import change

from sql.tables import agent_settings, projects

# What the front end sends for the system, each value another one than the default.
SYSTEM = {
    "primaryProvider": "anthropic",
    "secondaryProvider": "gemini",
    "tertiaryProvider": "openai",
    "geminiModel": "gemini-2.5-pro",
    "openaiModel": "gpt-5.1",
    "anthropicModel": "claude-4-sonnet",
    "temperature": 0.25,
    "maxTokens": 2048,
    "retriesPerProvider": 1,
    "monthlyBudget": 250.5,
    "dailyBudget": 12.000000001,
    "templateLearningEnabled": False,
    "crossValidationEnabled": False,
    "cacheEnabled": False,
    "minQualityScore": 70,
    "templateMinQuality": 75,
    "systemPrompt": "Be brief.",
}
DEFAULT_SYSTEM = {
    "primaryProvider": "gemini",
    "secondaryProvider": "openai",
    "tertiaryProvider": "anthropic",
    "geminiModel": "gemini-2.5-flash",
    "openaiModel": "gpt-4o",
    "anthropicModel": "claude-3-5-sonnet-20250219",
    "temperature": 0.7,
    "maxTokens": 4096,
    "retriesPerProvider": 3,
    "monthlyBudget": 1000.0,
    "dailyBudget": 50.0,
    "templateLearningEnabled": True,
    "crossValidationEnabled": True,
    "cacheEnabled": True,
    "minQualityScore": 95,
    "templateMinQuality": 90,
    "systemPrompt": "",
}
# The members of an agent wherever it is shown.
AGENT_KEYS = {
    "agentType",
    "providerOverride",
    "modelOverride",
    "temperatureOverride",
    "maxTokensOverride",
    "customPrompt",
    "customInstructions",
    "enabled",
    "updatedAt",
}


async def project_with(live: LiveServer, tenant_id: int | None = None, **columns: Any) -> str:
    """The id of a new project that has these values."""
    project_id = f"project-{uuid.uuid4().hex[:8]}"
    now = live.ctx.now()
    row = {"project_id": project_id, "tenant_id": tenant_id, "name": "Shop", "created_by": "tests", **columns}
    await change(live, insert(projects).values(**row, created_at=now, updated_at=now))
    return project_id


async def agent_with(live: LiveServer, project_id: str, agent_type: str = "coder", **columns: Any) -> None:
    """Give an agent of the project these values."""
    now = live.ctx.now()
    row = {"project_id": project_id, "agent_type": agent_type, **columns}
    await change(live, insert(agent_settings).values(**row, created_at=now, updated_at=now))


async def asked(live: LiveServer, method: str, path: str, role: str = "operator", **more: Any) -> Response:
    """The answer to an operator's request at /api/llm; ``if_match`` is the header."""
    headers = await as_operator(live, role)
    if (if_match := more.pop("if_match", None)) is not None:
        headers["if-match"] = if_match
    return await live.http.request(method, f"/api/llm{path}", headers=headers, **more)


async def told(live: LiveServer, method: str, path: str, status: int = 200, **more: Any) -> Any:
    """What is answered, which must have this status."""
    answer = await asked(live, method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def history(live: LiveServer, **query: Any) -> list[dict[str, Any]]:
    """The history of settings, newest first."""
    changes: list[dict[str, Any]] = (await told(live, "GET", "/history", params={"page_size": 200, **query}))["changes"]
    return changes
