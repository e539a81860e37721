"""A tenant sees its own codes: hints, states, uses, labels and expiry, and never a code."""

from __future__ import annotations

from typing import Any

import pytest
from support.admin import Admin, as_operator, as_tenant
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer

from app.services.licensing.codes import generate_codes, revoke_code

PATH = "/api/tenant/codes"


async def test_a_tenant_sees_its_own_codes_as_operators_do(sanic_client: LiveServer, clock: MovableClock) -> None:
    live, foreign = sanic_client, await licensed(sanic_client, codes=2)
    tenant = await licensed(live, codes=2, max_uses=3)
    (short,) = await generate_codes(live.ctx, tenant.slug, ttl_days=1, label="For Zoë's office")
    await activated(live, tenant, code=tenant.codes[1])
    await revoke_code(live.ctx, tenant.slug, code=tenant.codes[0])
    clock.move(days=2)
    headers = await as_tenant(live, tenant.tenant_id)

    async def ask(**query: Any) -> Any:
        answer = await live.http.get(PATH, headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hints(**query: Any) -> list[str]:
        return [code["hint"] for code in (await ask(**query))["codes"]]

    page = await ask()
    operators = await Admin(live, await as_operator(live)).ask("GET", f"/codes?tenant_slug={tenant.slug}")
    assert page == operators
    assert [(code["hint"], code["status"], code["useCount"], code["maxUses"]) for code in page["codes"]] == [
        (short[-4:], "expired", 0, 1),
        (tenant.codes[1][-4:], "active", 1, 3),
        (tenant.codes[0][-4:], "revoked", 0, 3),
    ]
    assert (page["codes"][0]["label"], page["codes"][0]["code"], page["total"]) == ("For Zoë's office", None, 3)
    assert page["codes"][0]["expiresAt"] < clock.now().isoformat()
    assert not any(code in str(page) for code in (short, *tenant.codes))
    assert await hints(status="expired") == await hints(search="ZOE") == await hints(search=short) == [short[-4:]]
    assert await hints(page_size=2, page=2) == [tenant.codes[0][-4:]]
    assert await hints(search=foreign.codes[0]) == []


@pytest.mark.parametrize("query", ["status=spent", "page=0", "page_size=101"])
async def test_what_it_asks_for_is_checked(sanic_client: LiveServer, query: str) -> None:
    tenant = await licensed(sanic_client)

    answer = await sanic_client.http.get(f"{PATH}?{query}", headers=await as_tenant(sanic_client, tenant.tenant_id))

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", query.partition("=")[0]])
