"""One customer with other figures than its plan's: every decision and every list goes by them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from sqlalchemy import select, update
from support.admin import Admin, answer_of, as_operator, as_tenant
from support.builders import Activated, Licensed, activate, activated, licensed, refresh
from support.clocks import MovableClock
from support.graphql import data
from support.live import LiveServer
from support.projects import created
from support.rows import change, rows, told
from support.runs import ready_project, run

from app.services.licensing import idle_seats
from app.services.tenants.tenant_list import tenants_by_slug
from sql.tables import plans, subscriptions

SEEN = """query($slug: String) { tenant(slug: $slug) { usageQuota subscription {
    maxDevices maxDevicesOverride monthlyRunQuota monthlyRunQuotaOverride plan { maxDevices monthlyRunQuota } } } }"""


def granted(devices: int, runs: int, *, of: tuple[int, int], own: tuple[int | None, int | None]) -> dict[str, Any]:
    """What a subscription grants, as answers show it: its plan's and its own figures of devices and runs beside it."""
    return {
        "maxDevices": devices,
        "maxDevicesOverride": own[0],
        "planMaxDevices": of[0],
        "monthlyRunQuota": runs,
        "monthlyRunQuotaOverride": own[1],
        "planMonthlyRunQuota": of[1],
    }


async def overridden(live: LiveServer, tenant: Licensed, **figures: int | None) -> dict[str, Any]:
    """The answer to a change of the figures."""
    admin = Admin(live, await as_operator(live))
    return await admin.ask("PUT", f"/tenants/{tenant.slug}", json=figures)


async def test_operators_set_them_and_every_answer_shows_them_beside_the_plans(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant = await licensed(live, max_devices=1, quota=50)
    admin, session = Admin(live, await as_operator(live)), await as_tenant(live, tenant.tenant_id)

    changed = await overridden(live, tenant, maxDevicesOverride=3, monthlyRunQuotaOverride=70)
    await overridden(live, tenant, maxDevicesOverride=3)
    plan = await admin.ask("PUT", f"/tenants/{tenant.slug}", json={"subscriptionPlan": tenant.plan})

    shown = granted(3, 70, of=(1, 50), own=(3, 70)) | {"planName": tenant.plan, "status": "active"}
    assert (changed["subscription"], plan["subscription"], changed["usageQuota"]) == (shown, shown, 70)
    (listed,) = (await admin.ask("GET", f"/tenants?search={tenant.slug}"))["items"]
    own = (await live.http.get("/api/tenant/profile", headers=session)).json()
    assert (listed["subscription"], own["subscription"], listed["usageQuota"]) == (shown, shown, 70)
    seen = (await data(live, session, SEEN))["tenant"]
    mine = {name: value for name, value in shown.items() if not name.startswith(("plan", "status"))}
    assert seen == {"usageQuota": 70, "subscription": {**mine, "plan": {"maxDevices": 1, "monthlyRunQuota": 50}}}
    update_tenant = "mutation($it: UpdateTenantInput!) { updateTenant(input: $it) { tenant { usageQuota } } }"
    by_graphql = {"slug": tenant.slug, "monthlyRunQuotaOverride": 70}
    again = await data(live, admin.headers, update_tenant, it=by_graphql | {"monthlyRunQuotaOverride": None})
    await data(live, admin.headers, update_tenant, it=by_graphql)
    assert again["updateTenant"]["tenant"]["usageQuota"] == 50
    (licensee,) = [each for each in await tenants_by_slug(live.ctx) if each.slug == tenant.slug]
    assert (licensee.max_devices, licensee.plan_max_devices, licensee.monthly_run_quota) == (3, 1, 70)
    billing = (await live.http.get("/api/tenant/billing", headers=session)).json()
    assert billing["usage"]["monthlyRunQuota"] == 70
    events = [event for event in await told(live, tenant.tenant_id) if event.event_type == "subscription_updated"]
    assert len(events) == 3

    back = await overridden(live, tenant, maxDevicesOverride=None, monthlyRunQuotaOverride=None)
    assert back["subscription"] == {**shown, **granted(1, 50, of=(1, 50), own=(None, None))}


async def test_they_need_a_subscription_and_a_number(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client)
    bare, tenant = await licensed(live, state=None), await licensed(live, max_devices=2)

    for figures, field in (
        ({"maxDevicesOverride": 3}, "max_devices_override"),
        ({"monthlyRunQuotaOverride": 0}, "monthly_run_quota_override"),
    ):
        answer = await live.http.put(f"/admin/api/tenants/{bare.slug}", headers=headers, json=figures)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", field]), answer.text
    assert (await overridden(live, bare, maxDevicesOverride=None))["subscription"]["maxDevices"] is None
    for wrong in (-1, 2**31, 1.5, "3"):
        answer = await live.http.put(
            f"/admin/api/tenants/{tenant.slug}", headers=headers, json={"maxDevicesOverride": wrong, "name": "Other"}
        )
        assert answer.status_code == 422
    assert (await overridden(live, tenant))["name"] != "Other"
    # Named in one call with the plan.
    first = await live.http.put(
        f"/admin/api/tenants/{bare.slug}",
        headers=headers,
        json={"subscriptionPlan": tenant.plan, "maxDevicesOverride": 9},
    )
    assert first.json()["subscription"]["maxDevices"] == 9


@pytest.mark.parametrize(("own", "plan"), [(2, 1), (2, 3), (2, None)], ids=["more", "fewer", "some of any"])
async def test_seats_are_as_many_as_the_subscription_says(
    sanic_client: LiveServer, clock: MovableClock, own: int, plan: int | None
) -> None:
    live = sanic_client
    tenant = await licensed(live, codes=4, max_devices=plan)
    await change(live, update(plans).where(plans.c.name == tenant.plan).values(device_idle_days=1))
    await overridden(live, tenant, maxDevicesOverride=own)

    first, second = [await activated(live, tenant, f"hw-{number}", tenant.codes[number]) for number in range(own)]
    full = await activate(live, tenant, "one more", tenant.codes[3])
    clock.move(days=2)
    await idle_seats.free_idle_seats(live.ctx)
    back = await refresh(live, first)
    await overridden(live, tenant, maxDevicesOverride=1)
    late = [
        await activate(live, tenant, "one more", tenant.codes[3]),
        await activate(live, tenant, "hw-1", tenant.codes[1]),
        await refresh(live, second),
    ]

    assert [answer.json()["errorCode"] for answer in (full, *late)] == ["device_limit_reached"] * 4
    assert f"{own} in use" in full.json()["detail"]
    assert all("1 in use" in answer.json()["detail"] for answer in late)
    assert back.status_code == 200
    ((used,),) = await rows(live, select(subscriptions.c.seats_used).where(subscriptions.c.ended_at.is_(None)))
    assert used == 1


async def test_runs_are_as_many_as_the_subscription_says(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant = await licensed(live, codes=3, quota=50)
    await overridden(live, tenant, monthlyRunQuotaOverride=0)
    device: Activated = await activated(live, tenant, code=tenant.codes[1])
    _, session, project_id = await ready_project(live, tenant)

    refused = await run(live, session, project_id)
    policy = (await live.http.get("/licenses/policy", headers=device.headers)).json()
    usage = (await live.http.get(f"/usage/{tenant.slug}", headers=device.headers)).json()
    by_operator = (await live.http.get(f"/usage/{tenant.slug}", headers=await as_operator(live))).json()
    entitled = [
        json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))["entitlements"]["monthly_run_quota"]
        for token in (device.access_token, (await refresh(live, device)).json()["access_token"])
    ]
    await overridden(live, tenant, monthlyRunQuotaOverride=1)
    *_, second = await ready_project(live, tenant, "Shoe Shop", code=2)
    answers = [await run(live, session, project) for project in (project_id, second)]

    assert refused.json()["errorCode"] == "quota_exceeded"
    assert (policy["monthly_run_quota"], usage["quota"], by_operator["quota"], entitled) == (0, 0, 0, [0, 0])
    assert [answer.status_code for answer in answers] == [200, 402]
    caps = await data(live, session, "{ ledgerAccounts(filter: {unit: RUNS}) { nodes { cap } } }")
    assert caps == {"ledgerAccounts": {"nodes": [{"cap": 1}]}}


async def test_figures_of_all_tenants_count_them(sanic_client: LiveServer) -> None:
    live = sanic_client
    tenant, other = await licensed(live, quota=10), await licensed(live, quota=40)
    await activated(live, tenant)
    await created(live, tenant)
    before = await answer_of(live, "analytics")

    await overridden(live, tenant, monthlyRunQuotaOverride=60)
    after = await answer_of(live, "analytics")

    shares = [page["summaryStats"]["avgUsageRate"] for page in (before, after)]
    assert shares == [2.0, 1.0]
    (with_projects,) = (await answer_of(live, "analytics?project_filter=top10"))["tenantUsage"]
    assert with_projects["quota"] == 60
    assert {use["tenant"]: use["quota"] for use in after["tenantUsage"]} == {
        tenant.slug.replace("tenant-", "Tenant "): 60,
        other.slug.replace("tenant-", "Tenant "): 40,
    }


@pytest.mark.parametrize("sent", [0, 1_000_000, 2.5, 2**40])
async def test_the_quota_that_a_form_sends_back_is_taken_and_ignored(sanic_client: LiveServer, sent: float) -> None:
    tenant = await licensed(sanic_client, quota=50)

    answer = await overridden(sanic_client, tenant, usageQuota=sent)  # type: ignore[arg-type]

    assert (answer["usageQuota"], answer["subscription"]["monthlyRunQuotaOverride"]) == (50, None)
