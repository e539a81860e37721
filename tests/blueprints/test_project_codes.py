"""Giving projects activation codes: one use each, whoever else wants it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.admin import as_tenant
from support.builders import Licensed, activated, licensed
from support.clocks import MovableClock
from support.licensing import uses
from support.live import LiveServer
from support.projects import PLACE, assign, created
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told

from app.services.licensing.code_list import list_codes
from app.services.licensing.codes import revoke_code
from sql.tables import projects


async def many_projects(live: LiveServer, tenant: Licensed, number: int) -> list[str]:
    """The ids of so many projects of the tenant, stored at once."""
    now = live.ctx.now()
    names = [f"project-{place}" for place in range(number)]
    row: dict[str, Any] = {"tenant_id": tenant.tenant_id, "created_at": now, "updated_at": now, "created_by": "tests"}
    async with live.ctx.write() as conn:
        await conn.insert_all(insert(projects), [{"project_id": name, "name": name, **row} for name in names])
    return names


async def test_a_code_is_assigned_however_it_is_typed(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    before = await created(sanic_client, tenant)
    clock.move(seconds=1)

    answer = await assign(sanic_client, mine, "hat-shop", f" {tenant.codes[0].lower().replace('-', ' ')} ")

    project = answer.json()
    assert answer.status_code == 200, answer.text
    (code,) = (await list_codes(sanic_client.ctx, tenant_slug=tenant.slug)).rows
    assert project["activationCodeId"] == code.id
    assert (code.use_count, code.status, code.used_at is not None) == (1, "used", True)
    assert project["updatedAt"] > before["updatedAt"]
    (event,) = [event for event in await told(sanic_client) if event.event_type == "code_assigned"]
    assert (event.tenant_id, event.code_id, event.project_id) == (tenant.tenant_id, code.id, "hat-shop")
    assert (event.actor_type, event.severity) == ("tenant", "minor")
    assert tenant.codes[0] not in "".join(map(str, await told(sanic_client)))


@pytest.mark.parametrize("spelling", ["activation_code", "activationCode"])
async def test_a_code_may_be_sent_in_both_spellings(sanic_client: LiveServer, spelling: str) -> None:
    tenant = await licensed(sanic_client)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    await created(sanic_client, tenant)

    path = f"{PLACE}/hat-shop/assign-activation-code"
    answer = await sanic_client.http.post(path, headers=mine, json={spelling: tenant.codes[0]})

    assert (answer.status_code, answer.json()["activationCodeId"] is not None) == (200, True)


async def test_a_code_that_cannot_be_assigned_is_refused_for_its_reason(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    live = sanic_client
    tenant = await licensed(live, codes=4, ttl_days=9)
    mine, other = await as_tenant(live, tenant.tenant_id), await licensed(live)
    good, revoked, used, _ = tenant.codes
    await created(live, tenant)
    await revoke_code(live.ctx, tenant.slug, code=revoked)
    await activated(live, tenant, code=used)
    counts = await uses(live, tenant)

    async def refusal(code: str, project_id: str = "hat-shop") -> tuple[int, str]:
        answer = await assign(live, mine, project_id, code)
        assert isinstance(answer.json()["detail"], str)
        return answer.status_code, answer.json()["errorCode"]

    assert await refusal("nonsense") == (400, "activation_code_invalid")
    assert await refusal(other.codes[0]) == (400, "activation_code_invalid")
    assert await refusal(revoked) == (400, "activation_code_revoked")
    assert await refusal(used) == (400, "activation_code_used_up")
    assert await refusal(good, "nothing") == (404, "project_not_found")
    clock.move(days=9, seconds=1)
    mine = await as_tenant(live, tenant.tenant_id)
    assert await refusal(good) == (400, "activation_code_expired")
    assert await uses(live, tenant) == counts
    assert [event for event in await told(live) if event.event_type == "code_assigned"] == []


async def test_a_project_keeps_its_code(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2, max_uses=2)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    await created(sanic_client, tenant)

    answers = [await assign(sanic_client, mine, "hat-shop", code) for code in (*tenant.codes, tenant.codes[0])]

    assert [answer.status_code for answer in answers] == [200, 400, 400]
    assert {answer.json()["errorCode"] for answer in answers[1:]} == {"project_has_code"}
    assert await uses(sanic_client, tenant) == [1, 0]


NO_CODES: list[tuple[dict[str, Any], str]] = [
    ({}, "activationCode"),
    ({"activation_code": ""}, "activation_code"),
    ({"activation_code": "x" * 101}, "activation_code"),
    ({"activationCode": "a\x00"}, "activationCode"),
    ({"activation_code": 7}, "activation_code"),
    ({"activation_code": "a", "force": True}, "force"),
]


async def test_what_is_no_code_names_the_field(sanic_client: LiveServer) -> None:
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    before = await row_counts(sanic_client)
    findings = Findings()

    for body, field in NO_CODES:
        answer = await sanic_client.http.post(f"{PLACE}/hats/assign-activation-code", headers=mine, json=body)
        findings.add(body, refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_two_hundred_projects_race_for_three_uses(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=3)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    names = await many_projects(sanic_client, tenant, 200)

    answers = await asyncio.gather(*(assign(sanic_client, mine, name, tenant.codes[0]) for name in names))

    counts = Counter((answer.status_code, answer.json().get("errorCode")) for answer in answers)
    assert counts == {(200, None): 3, (400, "activation_code_used_up"): 197}
    assert await uses(sanic_client, tenant) == [3]
    held = await rows(sanic_client, select(projects.c.id).where(projects.c.activation_code_id.is_not(None)))
    assert len(held) == 3
    assert len([event for event in await told(sanic_client) if event.event_type == "code_assigned"]) == 3


async def test_two_codes_race_for_one_project_and_one_is_given_back(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=10, max_uses=5)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    names = await many_projects(sanic_client, tenant, 5)

    asked = [(name, code) for name in names for code in tenant.codes]
    answers = await asyncio.gather(*(assign(sanic_client, mine, name, code) for name, code in asked))

    counts = Counter((answer.status_code, answer.json().get("errorCode")) for answer in answers)
    assert counts == {(200, None): 5, (400, "project_has_code"): 45}
    assert sum(await uses(sanic_client, tenant)) == 5
    assert len([event for event in await told(sanic_client) if event.event_type == "code_assigned"]) == 5
