"""Operators administer plans."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from support.admin import as_operator
from support.builders import activate, activated, licensed
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told

from app.errors import PlanConflictError
from app.services.billing.plans import ensure_plan
from sql.tables import plans

PRO = {"name": "Pro", "stripePriceId": "price_pro", "monthlyRunQuota": 50}


async def ask(live: LiveServer, method: str, path: str, status: int, role: str = "owner", **more: Any) -> Any:
    answer = await live.http.request(method, f"/admin/api{path}", headers=await as_operator(live, role), **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_plans_are_listed_by_quota(sanic_client: LiveServer) -> None:
    for name, quota in (("Big", 200), ("Small", 10)):
        await ask(
            sanic_client,
            "POST",
            "/plans",
            201,
            json={"name": name, "stripe_price_id": f"price_{name}", "monthly_run_quota": quota, "max_devices": 3},
        )

    listed = await ask(sanic_client, "GET", "/plans", 200, "read_only")

    assert [plan["name"] for plan in listed["plans"]] == ["Small", "Big"]
    assert listed["plans"][0] == {
        "id": listed["plans"][0]["id"],
        "name": "Small",
        "stripePriceId": "price_Small",
        "monthlyRunQuota": 10,
        "maxDevices": 3,
        "monthlyLlmBudget": None,
        "tenantMayVoid": False,
        "deviceIdleDays": None,
        "tenantMayRevoke": False,
        "deviceMovesPerDay": None,
    }


async def test_a_new_plan_is_told(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "POST", "/plans", 201, json=PRO)

    assert made == {
        **PRO,
        "id": made["id"],
        "maxDevices": None,
        "monthlyLlmBudget": None,
        "tenantMayVoid": False,
        "deviceIdleDays": None,
        "tenantMayRevoke": False,
        "deviceMovesPerDay": None,
    }
    event = (await told(sanic_client))[-1]
    assert (event.event_type, orjson.loads(event.metadata)) == (
        "plan_created",
        {
            "plan_id": made["id"],
            "name": "Pro",
            "stripe_price_id": "price_pro",
            "monthly_run_quota": 50,
            "max_devices": None,
            "monthly_llm_budget": None,
            "tenant_may_void": False,
            "device_idle_days": None,
            "tenant_may_revoke": False,
            "device_moves_per_day": None,
        },
    )


async def test_a_plan_says_what_its_devices_and_tenants_may(sanic_client: LiveServer) -> None:
    allowed = {"deviceIdleDays": 30, "tenantMayRevoke": True, "deviceMovesPerDay": 4}
    made = await ask(sanic_client, "POST", "/plans", 201, json={**PRO, **allowed})
    changed = await ask(sanic_client, "PUT", f"/plans/{made['id']}", 200, json={"deviceIdleDays": None})
    await ask(sanic_client, "PUT", f"/plans/{made['id']}", 422, json={"deviceIdleDays": 0})
    await ask(sanic_client, "PUT", f"/plans/{made['id']}", 422, json={"deviceMovesPerDay": 0})

    assert {name: made[name] for name in allowed} == allowed
    assert {name: changed[name] for name in allowed} == {**allowed, "deviceIdleDays": None}


async def test_a_budget_for_model_calls_is_told_in_usd(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "POST", "/plans", 201, json={**PRO, "monthlyLlmBudget": 12.5})
    assert made["monthlyLlmBudget"] == 12.5
    (plan,) = await rows(sanic_client, plans.select())
    assert plan.monthly_llm_budget == 12_500_000_000

    changed = await ask(sanic_client, "PUT", f"/plans/{made['id']}", 200, json={"monthlyLlmBudget": None})
    assert changed["monthlyLlmBudget"] is None
    await ask(sanic_client, "PUT", f"/plans/{made['id']}", 422, json={"monthlyLlmBudget": -1})


async def test_a_change_is_told_with_what_was_there_and_counts_at_once(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_devices=1, max_uses=5)
    await activated(sanic_client, tenant)
    (plan,) = await rows(sanic_client, plans.select())
    assert (await activate(sanic_client, tenant, "hardware 2")).status_code == 403

    changed = await ask(sanic_client, "PUT", f"/plans/{plan.id}", 200, json={"maxDevices": None, "monthlyRunQuota": 70})

    assert (changed["maxDevices"], changed["monthlyRunQuota"], changed["name"]) == (None, 70, plan.name)
    assert (await activate(sanic_client, tenant, "hardware 2")).status_code == 200
    event = next(event for event in await told(sanic_client) if event.event_type == "plan_updated")
    assert orjson.loads(event.metadata)["changes"] == {
        "max_devices": {"from": 1, "to": None},
        "monthly_run_quota": {"from": 50, "to": 70},
    }


async def test_a_change_to_the_same_writes_nothing(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "POST", "/plans", 201, json=PRO)
    before = (await row_counts(sanic_client))["platform_events"]

    assert await ask(sanic_client, "PUT", f"/plans/{made['id']}", 200, json=PRO) == made
    assert (await row_counts(sanic_client))["platform_events"] == before


async def test_names_and_prices_are_given_once(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "POST", "/plans", 201, json=PRO)
    other = await ask(sanic_client, "POST", "/plans", 201, json={**PRO, "name": "Other", "stripePriceId": "other"})

    for method, path, sent in (
        ("POST", "/plans", {**PRO, "stripePriceId": "third"}),
        ("POST", "/plans", {**PRO, "name": "Third"}),
        ("PUT", f"/plans/{other['id']}", {"name": "Pro"}),
        ("PUT", f"/plans/{other['id']}", {"stripePriceId": "price_pro"}),
    ):
        refused = await ask(sanic_client, method, path, 409, json=sent)
        assert refused["errorCode"] == "plan_conflict"
    assert (await ask(sanic_client, "GET", "/plans", 200))["plans"] == [made, other]


WRONG: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", None),
    ("stripePriceId", " "),
    ("monthlyRunQuota", -1),
    ("maxDevices", -1),
    ("price", 3),
]


async def test_a_wrong_field_is_named(sanic_client: LiveServer) -> None:
    made = await ask(sanic_client, "POST", "/plans", 201, json=PRO)
    headers = await as_operator(sanic_client)
    before = await row_counts(sanic_client)
    findings = Findings()

    for field, value in WRONG:
        for method, path in (("POST", "/plans"), ("PUT", f"/plans/{made['id']}")):
            answer = await sanic_client.http.request(
                method, f"/admin/api{path}", headers=headers, json={**PRO, field: value}
            )
            findings.add(f"{method} {field}={value!r}", refusal(answer), invalid("body", field))

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


async def test_a_plan_that_is_not_there_is_not_found(sanic_client: LiveServer) -> None:
    refused = await ask(sanic_client, "PUT", "/plans/77", 404, json={"name": "Pro"})

    assert (refused["errorCode"], refused["plan_id"]) == ("plan_missing", 77)


async def test_plans_are_the_owners(sanic_client: LiveServer) -> None:
    await ask(sanic_client, "POST", "/plans", 403, "operator", json=PRO)


async def test_a_plan_that_is_seeded_several_times_at_once_is_made_once(sanic_client: LiveServer) -> None:
    figures = {"name": "Pro", "price_id": "price_pro", "quota": 50}

    seeded = await asyncio.gather(*(ensure_plan(sanic_client.ctx, **figures) for _ in range(8)))

    assert sorted(change for _, change in seeded) == ["created"] + ["unchanged"] * 7
    assert len({plan.id for plan, _ in seeded}) == 1
    with pytest.raises(PlanConflictError):
        await ensure_plan(sanic_client.ctx, name="Other", price_id="price_pro", quota=50)
