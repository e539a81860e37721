"""Operators delete tenants: everything that is theirs goes, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from support.admin import Admin, as_operator, as_tenant
from support.builders import activated, licensed, report, run_event, subscribe
from support.live import LiveServer
from support.rows import row_counts, rows, told
from support.sign_in import generate, reachable, sent_code

from app.services.billing.plans import seed_plan
from sql.tables import activation_codes, deliveries, monthly_runs, otp_challenges, usage_rollups


@pytest.fixture
async def admin(sanic_client: LiveServer) -> Admin:
    """An owner."""
    return Admin(sanic_client, await as_operator(sanic_client))


@pytest.fixture
async def plan(sanic_client: LiveServer) -> str:
    """A plan of 50 runs."""
    await seed_plan(sanic_client.ctx, name="Pro", price_id="price_pro", quota=50)
    return "Pro"


async def test_a_deletion_takes_what_is_the_tenants_and_nothing_else(admin: Admin) -> None:
    gone, stays = [await licensed(admin.live, codes=3, max_uses=5) for _ in range(2)]
    empty = await row_counts(admin.live)
    for tenant in (gone, stays):
        device = await activated(admin.live, tenant)
        await report(admin.live, device, run_event("a"))
        await as_tenant(admin.live, tenant.tenant_id)
    both = await row_counts(admin.live)
    impact = await admin.ask("GET", f"/tenants/{gone.slug}/deletion-impact")

    await admin.ask("DELETE", f"/tenants/{gone.slug}", 204)

    assert impact == {
        "tenant": {"id": gone.tenant_id, "name": impact["tenant"]["name"], "slug": gone.slug},
        "activation_codes": {"total": 3, "active": 3, "revoked": 0},
        "devices": {"total": 1, "active": 1, "revoked": 0},
        "subscriptions": {"total": 1},
        "usage_events": {"total": 1},
        "usage_rollups": {"total": 1},
        "llm_projects": {"total": 0},
        "llm_agents": {"total": 0},
        "sessions": {"total": 1},
    }
    left = await row_counts(admin.live)
    for table in ("tenants", "subscriptions", "activation_codes"):
        assert left[table] * 2 == empty[table] == both[table]
    for table in ("devices", "refresh_families", "usage_events", "usage_rollups", "tenant_sessions"):
        assert (both[table], left[table]) == (2, 1), table
    assert {row.tenant_id for row in await rows(admin.live, select(monthly_runs))} == {stays.tenant_id}
    await admin.ask("GET", f"/tenants/{gone.slug}", 404)
    last = (await told(admin.live, gone.tenant_id))[-1]
    assert (last.event_type, orjson.loads(last.metadata)["slug"]) == ("tenant_deleted", gone.slug)
    assert len(await told(admin.live, gone.tenant_id)) > 4
    assert (await admin.tenants())["total"] == 1


async def test_a_deleted_tenants_sessions_and_devices_are_refused(admin: Admin) -> None:
    device = await activated(admin.live)
    session = await as_tenant(admin.live, device.tenant.tenant_id)

    await admin.ask("DELETE", f"/tenants/{device.tenant.slug}", 204)

    assert (await admin.live.http.get("/api/tenant/profile", headers=session)).status_code == 401
    assert (await admin.live.http.get("/licenses/policy", headers=device.headers)).status_code == 401


async def test_a_tenant_that_asked_for_a_code_to_sign_in_may_be_deleted(admin: Admin) -> None:
    gone, stays = [await reachable(admin.live) for _ in range(2)]
    for tenant in (gone, stays):
        await sent_code(admin.live, tenant.slug)
        await generate(admin.live, tenant.slug)

    await admin.ask("DELETE", f"/tenants/{gone.slug}", 204)

    assert [row.tenant_id for row in await rows(admin.live, select(otp_challenges))] == [stays.id]
    waiting = select(deliveries.c.tenant_slug).where(deliveries.c.state == "waiting")
    assert [row.tenant_slug for row in await rows(admin.live, waiting)] == [stays.slug]


async def test_a_tenant_may_be_deleted_while_its_devices_activate_and_report(admin: Admin) -> None:
    for _ in range(3):
        tenant = await licensed(admin.live, max_uses=100)
        device = await activated(admin.live, tenant)
        working = [activated_or_refused(admin, tenant, number) for number in range(10)]
        working += [report(admin.live, device, run_event(f"{number}")) for number in range(10)]

        deleting = admin.live.http.delete(f"/admin/api/tenants/{tenant.slug}", headers=admin.headers)
        *_, deleted = await asyncio.gather(*working, deleting)

        assert deleted.status_code == 204, deleted.text
        for table in (activation_codes, monthly_runs, usage_rollups):
            assert not await rows(admin.live, select(table).where(table.c.tenant_id == tenant.tenant_id))


async def activated_or_refused(admin: Admin, tenant: Any, number: int) -> None:
    answer = await admin.live.http.post(
        "/authz/activate",
        json={"tenant_slug": tenant.slug, "activation_code": tenant.codes[0], "hw_fingerprint": f"hw {number}"},
    )
    assert answer.status_code in {200, 400, 403, 404}, answer.text


async def test_a_suspended_tenant_is_shown_as_it_is(admin: Admin) -> None:
    tenant = await licensed(admin.live)
    await subscribe(admin.live, tenant, "suspended")

    assert (await admin.ask("GET", f"/tenants/{tenant.slug}"))["subscription"]["status"] == "suspended"


@pytest.mark.parametrize(
    ("role", "statuses"), [("read_only", (200, 403, 403)), ("operator", (200, 200, 403)), ("owner", (200, 200, 204))]
)
async def test_each_role_may_do_its_part(admin: Admin, plan: str, role: str, statuses: tuple[int, ...]) -> None:
    await admin.admit("acme")
    headers = await as_operator(admin.live, role)
    path = "/admin/api/tenants/acme"

    answers = [
        await admin.live.http.get(path, headers=headers),
        await admin.live.http.put(path, headers=headers, json={"name": "Other"}),
        await admin.live.http.delete(path, headers=headers),
    ]

    assert tuple(answer.status_code for answer in answers) == statuses
    assert (await admin.live.http.get(path)).status_code == 401
