"""Projects as a tenant makes them, and what an operator asks about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from httpx2 import Response
from support.admin import as_tenant
from support.builders import Licensed
from support.live import LiveServer

PLACE = "/api/tenant/projects"
LLM_PLACE = "/api/llm/projects"
# What is needed beside a name.
TEXTS = {"description": "A shop for hats", "objectives": "Sell hats\nShip them"}


async def create(live: LiveServer, session: Mapping[str, str], name: str = "Hat Shop", **more: Any) -> Response:
    """The answer to a new project of the tenant whose session it is."""
    body = {"name": name, **TEXTS, **more}
    return await live.http.post(PLACE, headers=dict(session), json=body)


async def created(live: LiveServer, tenant: Licensed, name: str = "Hat Shop", **more: Any) -> Any:
    """A new project of the tenant, as it is shown."""
    answer = await create(live, await as_tenant(live, tenant.tenant_id), name, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def assign(live: LiveServer, session: Mapping[str, str], project_id: str, code: str) -> Response:
    """The answer to a code for a project."""
    path = f"{PLACE}/{project_id}/assign-activation-code"
    return await live.http.post(path, headers=dict(session), json={"activation_code": code})
