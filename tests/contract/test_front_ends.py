"""Both front ends, call by call: sent as they send it, and read as strictly as they read it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import activated, licensed, report, run_event
from support.live import LiveServer
from support.llm import AGENT_KEYS, project_with
from support.rows import change
from support.shapes import address, email, moment, number, optional, text, whole, words, wrong_in
from support.sign_in import sent_code

from app.services.billing.plans import ensure_plan
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import tenants

STATES = {"active", "past_due", "canceled", "unpaid", "trialing", "suspended", "none", None}
SUBSCRIPTION = {"planName": optional(text), "status": lambda value: value in STATES}
# A single row that is not so breaks the whole list in the browser.
TENANT: dict[str, Any] = {
    "id": whole,
    "name": words,
    "slug": words,
    "logoUrl": optional(address),
    "primaryColor": optional(text),
    "domain": optional(text),
    "phoneNumber": optional(text),
    "email": optional(email),
    "usageQuota": whole,
    "usageCurrent": whole,
    "activationCodesTotal": whole,
    "activationCodesUsed": whole,
    "createdAt": moment,
    "subscription": SUBSCRIPTION,
}
TREND = {"direction": lambda value: value in {"up", "down"}, "value": number}
CODE = {
    "id": whole,
    # Shown once, when it is made.
    "code": lambda value: value is None,
    "hint": lambda value: isinstance(value, str) and len(value) == 4,
    "tenant": words,
    "label": optional(text),
    "status": lambda value: value in {"active", "expired", "used", "revoked"},
    "expiresAt": optional(moment),
    "useCount": whole,
    "maxUses": whole,
}
DEVICE = {
    "id": whole,
    "tenant": words,
    "label": optional(text),
    "deviceType": words,
    "hwFingerprint": words,
    "lastSeen": moment,
    "createdAt": moment,
    "isRevoked": lambda value: isinstance(value, bool),
}
SIGNED_IN = {"session_token": words, "expires_at": moment, "tenant_id": whole, "tenant_slug": words}


READ = {
    "getPlans": (
        "/admin/api/plans",
        {"plans": [{"id": whole, "name": words, "stripePriceId": words, "monthlyRunQuota": whole}]},
    ),
    "getTenants": (
        "/admin/api/tenants",
        {"items": [TENANT], "total": whole, "page": lambda page: page == 1, "pageSize": lambda size: size == 10},
    ),
    "getTenants of the codes page": ("/admin/api/tenants?page=1&page_size=100", {"items": [TENANT], "total": whole}),
    "getTenants of the slug check": ("/admin/api/tenants?page=1&page_size=1000&search=full", {"items": [TENANT]}),
    "getTenants without a subscription": (
        "/admin/api/tenants?page=1&page_size=25&status=none&sort_field=usage_current&sort_direction=asc",
        {"items": [{**TENANT, "subscription": {"planName": lambda name: name is None, "status": optional(text)}}]},
    ),
    "getTenants of every sort": (
        "/admin/api/tenants?page=1&page_size=50&search=tenant&status=active&sort_field=name&sort_direction=desc",
        {"items": [TENANT]},
    ),
    "getTenantDeletionImpact": (
        "/admin/api/tenants/full/deletion-impact",
        {
            "tenant": {"id": whole, "name": words, "slug": words},
            "activation_codes": dict.fromkeys(("total", "active", "revoked"), whole),
            "devices": dict.fromkeys(("total", "active", "revoked"), whole),
            **{
                name: {"total": whole}
                for name in ("subscriptions", "usage_events", "usage_rollups", "llm_projects", "llm_agents")
            },
        },
    ),
    "getCodes": (
        "/admin/api/codes?page=1&page_size=10",
        {"codes": [CODE], **dict.fromkeys(("total", "page", "page_size", "total_pages"), whole)},
    ),
    "getCodes of a tenant": (
        "/admin/api/codes?page=1&page_size=200&tenant_slug={tenant}&status=active",
        {"codes": [CODE]},
    ),
    "getDevices": ("/admin/api/devices?page=1&page_size=10", {"devices": [DEVICE], "total": whole}),
    "getDevices of a tenant": (
        "/admin/api/devices?page=1&page_size=100&tenant_slug={tenant}&search=tenant",
        {"devices": [DEVICE], "total": whole},
    ),
    "dashboard": (
        "/admin/api/dashboard-stats",
        {
            **dict.fromkeys(
                (
                    *("activeCodes", "activeDevices", "activeProjects", "activeTenants", "expiredCodes"),
                    *("revokedDevices", "totalCodes", "totalDevices", "totalProjects", "totalTenants"),
                ),
                whole,
            ),
            "successRate": number,
            "trends": dict.fromkeys(("codes", "devices", "projects", "successRate", "tenants"), TREND),
        },
    ),
    **{
        f"activities of {days} days": (
            f"/admin/api/recent-activities?days={days}",
            {
                "activities": [
                    {
                        **dict.fromkeys(("icon", "action", "tenant", "backdrop", "type"), words),
                        "timestamp": moment,
                        "metadata": lambda told: isinstance(told, dict),
                    }
                ]
            },
        )
        for days in (7, 30, 90)
    },
    "activation trend": (
        "/admin/api/activation-trend?days=30",
        {"trend": [{"date": words, **dict.fromkeys(("codes", "projects", "devices"), whole)}]},
    ),
    "distribution": (
        "/admin/api/project-device-distribution",
        {
            "projects": {"active": whole, "total": whole},
            "devices": {"active": whole, "revoked": whole, "total": whole},
        },
    ),
    **{
        f"analytics of {asked}": (
            f"/admin/api/analytics?date_range={asked}",
            {
                "tenantUsage": [{"tenant": words, "usage": whole, "quota": whole}],
                "subscriptionDistribution": [{"name": words, "value": whole, "color": words}],
                "summaryStats": dict.fromkeys(("totalRevenue", "avgUsageRate", "retentionRate"), number),
            },
        )
        for asked in ("today", "7d", "30d", "90d", "1y")
    },
}
LLM_PAGES = dict.fromkeys(("primaryProvider", "secondaryProvider", "tertiaryProvider"), words) | {"systemPrompt": text}
READ |= {
    "settings of /llm/configuration": ("/api/llm/system", LLM_PAGES),
    "settings of /llm/prompts": (
        "/api/llm/system",
        LLM_PAGES
        | dict.fromkeys(("geminiModel", "openaiModel", "anthropicModel"), words)
        | dict.fromkeys(("temperature", "maxTokens", "monthlyBudget", "dailyBudget"), number),
    ),
}
# What /llm/prompts sends whatever it shows.
FIXED = {"retriesPerProvider": 3, "minQualityScore": 70, "templateMinQuality": 75} | dict.fromkeys(
    ("templateLearningEnabled", "crossValidationEnabled", "cacheEnabled"), True
)
READ_BY_TENANT = {
    "auth hook": ("/api/tenant/auth/session", {"expires_at": moment, "tenant_id": whole, "tenant_slug": words}),
    "profile": ("/api/tenant/profile", TENANT),
    "usage": (
        "/usage/{tenant}",
        {**dict.fromkeys(("year", "month", "runs", "quota"), whole), "tenant": words, "plan": optional(words)},
    ),
    "branding": (
        "/licenses/branding/{tenant}",
        {"logo_url": optional(address), "primary_color": optional(text), "domain": optional(text)},
    ),
}


async def populated(live: LiveServer) -> dict[str, str]:
    """A tenant with codes and a device, one with every optional field, and one with nothing; who they are."""
    tenant = await licensed(live, codes=3, ttl_days=30)
    await report(live, await activated(live, tenant), run_event("one", 3))
    await licensed(live, state=None)
    await ensure_tenant(live.ctx, name="Full", slug="full", email="it@full.example")
    everything = {
        "logo_url": "https://full.example/logo.svg",
        "primary_color": "#0a5",
        "domain": "full.example",
        "phone_number": "+49 30 1",
    }
    await change(live, update(tenants).where(tenants.c.slug == "full").values(**everything))
    return {"tenant": tenant.slug}


async def test_operators_pages_read_what_they_ask_for(sanic_client: LiveServer) -> None:
    who = await populated(sanic_client)
    cookie = await operator_cookie(sanic_client, origin=None)

    wrong = []
    for name, (path, shape) in READ.items():
        answer = await sanic_client.http.get(path.format(**who), headers=cookie)
        assert answer.status_code == 200, (name, answer.text)
        wrong += [f"{name}{place}" for place in wrong_in(answer.json(), shape)]

    assert wrong == []


async def test_tenants_pages_read_what_they_ask_for(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    session = await as_tenant(sanic_client, tenant.tenant_id)

    wrong = []
    for name, (path, shape) in READ_BY_TENANT.items():
        answer = await sanic_client.http.get(path.format(tenant=tenant.slug), headers=session)
        assert answer.status_code == 200, (name, answer.text)
        wrong += [f"{name}{place}" for place in wrong_in(answer.json(), shape)]

    assert wrong == []


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [
        ({**dict.fromkeys(TENANT), "id": "1"}, ".id: '1'"),
        ({}, ".id: missing"),
        ({"email": ""}, ".email: ''"),
        ({"logoUrl": "logo.svg"}, ".logoUrl: 'logo.svg'"),
        ({"createdAt": "2025-01-01T00:00:00"}, ".createdAt: '2025-01-01T00:00:00'"),
        ({"subscription": {"planName": None}}, ".subscription.status: missing"),
        ({"usageQuota": -1}, ".usageQuota: -1"),
    ],
)
def test_a_row_that_would_break_a_list_is_seen(shown: dict[str, Any], wrong: str) -> None:
    assert wrong in wrong_in(shown, {name: TENANT[name] for name in shown} or TENANT)


async def test_a_tenant_is_admitted_changed_and_deleted_as_the_forms_do_it(sanic_client: LiveServer) -> None:
    """With a cookie that comes through the front end's own proxy."""
    await ensure_plan(sanic_client.ctx, name="Pro", price_id="price_pro", quota=50)
    sent = await operator_cookie(sanic_client, origin="http://localhost:3002")
    http, path = sanic_client.http, "/admin/api/tenants"
    form = {"name": "Acme", "slug": "acme", "primaryColor": "#102030", "otpDeliveryMethod": "email"}
    form |= {"subscriptionPlan": "Pro", "usageQuota": 10}

    made = await http.post(path, headers=sent, json=form)
    assert (made.status_code, wrong_in(made.json(), TENANT)) == (201, [])
    taken = await http.post(path, headers=sent, json=form)
    assert (taken.status_code, "slug" in taken.json()["detail"]) == (409, True)
    unknown = await http.post(path, headers=sent, json={**form, "slug": "other", "subscriptionPlan": "Gold"})
    assert (unknown.status_code, "plan" in unknown.json()["detail"], '"plan":"Gold"' in unknown.text) == (
        400,
        True,
        True,
    )
    unread = await http.post(path, headers=sent, json={**form, "slug": "A"})
    assert (unread.status_code, unread.json()["detail"][0].keys()) == (422, {"loc", "msg", "type"})

    for changed in (
        {"name": "Acme Ltd"},
        {"logoUrl": "https://acme.example/l.svg", "primaryColor": "#abc", "domain": "acme.example"},
        {"email": "it@acme.example", "phoneNumber": "+49 30 1"},
        {"subscriptionPlan": "Pro", "usageQuota": 12},
    ):
        put = await http.put(f"{path}/acme", headers=sent, json=changed)
        assert (put.status_code, wrong_in(put.json(), TENANT)) == (200, [])
        plain = {name: value for name, value in changed.items() if name not in {"subscriptionPlan", "usageQuota"}}
        assert {name: put.json()[name] for name in plain} == plain
        assert put.json()["subscription"]["planName"] == "Pro"

    assert [(await http.delete(f"{path}/acme", headers=sent)).status_code for _ in range(2)] == [204, 404]


async def test_codes_and_devices_are_made_and_revoked_as_the_pages_do_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=5)
    device = await activated(sanic_client, tenant)
    sent, http = await as_operator(sanic_client), sanic_client.http

    for wish in (
        {"tenant_slug": tenant.slug, "count": 2, "ttl_days": 30, "label": "Fair", "max_uses": 3},
        {"tenant_slug": tenant.slug, "count": 2, "max_uses": 1},
    ):
        made = await http.post("/admin/api/codes/generate", headers=sent, json=wish)
        assert (made.status_code, wrong_in(made.json(), {"codes": [words], "message": words})) == (200, [])
        assert (made.json()["success"], len(made.json()["codes"])) == (True, 2)
    newest = (await http.get("/admin/api/codes", headers=sent)).json()["codes"][0]["id"]
    for path in (f"/admin/api/codes/{newest}", f"/admin/api/devices/{device.device_id}"):
        revoked = await http.delete(path, headers=sent)
        assert (revoked.status_code, revoked.json()["success"], words(revoked.json()["message"])) == (200, True, True)
        missing = await http.delete(f"{path}0000", headers=sent)
        assert (missing.status_code, words(missing.json()["detail"])) == (404, True)


async def test_prompts_of_the_system_and_of_agents_are_saved_as_the_page_does_it(sanic_client: LiveServer) -> None:
    sent = await operator_cookie(sanic_client, origin="http://localhost:3002")
    http, project_id = sanic_client.http, await project_with(sanic_client)
    read = (await http.get("/api/llm/system", headers=sent)).json()
    body = {**read, **FIXED, "systemPrompt": "Be brief.", "temperature": 1, "monthlyBudget": 500, "maxTokens": 2048}

    assert len(body) == 17
    saved = await http.put("/api/llm/system", headers=sent, json=body)
    assert (saved.status_code, saved.json()) == (200, body)
    assert (await http.get("/api/llm/system", headers=sent)).json() == body
    for agent in ("coder", "researcher", "orchestrator", "mobile", "frontend", "integration"):
        path = f"/api/llm/projects/{project_id}/agents/{agent}"
        for changed in (
            {"enabled": True, "customPrompt": "You are one.", "customInstructions": "Be kind."},
            {"enabled": False},
            {"enabled": True, "providerOverride": "openai", "modelOverride": "gpt-4o", "temperatureOverride": 1}
            | {"maxTokensOverride": 2000},
        ):
            put = await http.put(path, headers=sent, json=changed)
            assert (put.status_code, {name: put.json()[name] for name in changed}) == (200, changed)
    assert put.json().keys() == AGENT_KEYS


async def test_a_tenant_signs_in_works_and_signs_out_as_its_pages_do_it(sanic_client: LiveServer) -> None:
    await ensure_tenant(sanic_client.ctx, name="Acme", slug="acme", email="it@acme.example")
    http, auth = sanic_client.http, "/api/tenant/auth"

    asked = await http.post(f"{auth}/otp/generate", json={"tenant_slug": "acme"})
    assert (asked.status_code, wrong_in(asked.json(), {"expires_in": whole, "message": words})) == (200, [])
    body = {"tenant_slug": "acme", "otp_code": await sent_code(sanic_client, "acme")}
    given = await http.post(f"{auth}/otp/verify", json={**body, "remember": True})
    assert (given.status_code, wrong_in(given.json(), SIGNED_IN)) == (200, [])
    again = await http.post(f"{auth}/otp/verify", json=body)
    assert (again.status_code, words(again.json()["detail"])) == (401, True)
    mine = {"x-session-token": given.json()["session_token"]}
    refreshed = await http.post(f"{auth}/refresh", headers=mine)
    assert (refreshed.status_code, wrong_in(refreshed.json(), SIGNED_IN)) == (200, [])

    saved = await http.put("/api/tenant/profile", headers=mine, json={"name": "Acme Ltd", "logoUrl": "", "domain": ""})
    assert (saved.status_code, wrong_in(saved.json(), TENANT)) == (200, [])
    assert (saved.json()["name"], saved.json()["logoUrl"]) == ("Acme Ltd", None)

    assert (await http.post(f"{auth}/logout", headers=mine)).status_code == 204
    ended = await http.get(f"{auth}/session", headers=mine)
    assert (ended.status_code, words(ended.json()["detail"])) == (401, True)
