"""Policy, heartbeat and branding."""

from __future__ import annotations

import asyncio

from support.builders import activated, licensed, subscribe
from support.live import LiveServer
from support.rows import change
from support.statements import asked_together, counted_statements

from app.services.licensing.device_list import list_devices
from app.services.licensing.devices import revoke_device
from app.services.licensing.heartbeat import HEARTBEATS
from app.services.licensing.policy import DEVICE_POLICIES
from sql.tables import devices as device_rows
from sql.tables import plans, subscriptions, tenants
from sql.tables.billing import SUBSCRIPTION_STATES


async def test_policy_tells_what_the_plan_grants(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await sanic_client.http.get("/licenses/policy", headers=device.headers)

    assert answer.status_code == 200
    assert answer.json() == {
        "plan_name": device.tenant.plan,
        "monthly_run_quota": 50,
        "subscription_state": "active",
    }


async def test_a_hundred_policies_at_once_share_one_statement_and_one_for_each_lane(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    devices = [await activated(sanic_client, tenant, f"hardware-{number}") for number in range(10)]

    runtime = sanic_client.runtime
    with asked_together(runtime, DEVICE_POLICIES, 100) as shared, counted_statements(runtime.db) as statements:
        answers = await asyncio.gather(
            *(sanic_client.http.get("/licenses/policy", headers=devices[n % 10].headers) for n in range(100))
        )

    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= len(statements) <= shared
    assert all("batch_rows" in statement for statement in statements)


async def test_a_revoked_device_is_refused_at_its_next_call(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    assert await revoke_device(sanic_client.ctx, device.tenant.slug, device.device_id)

    for answer in (
        await sanic_client.http.get("/licenses/policy", headers=device.headers),
        await sanic_client.http.post(
            "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
        ),
        await sanic_client.http.get(f"/usage/{device.tenant.slug}", headers=device.headers),
    ):
        assert (answer.status_code, answer.json()["errorCode"]) == (401, "device_revoked")


async def test_a_heartbeat_moves_last_seen_and_nothing_else(sanic_client: LiveServer, clock) -> None:
    device = await activated(sanic_client)
    (before,) = (await list_devices(sanic_client.ctx, tenant_slug=device.tenant.slug)).rows
    clock.move(minutes=5)

    answer = await sanic_client.http.post(
        "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
    )

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    (after,) = (await list_devices(sanic_client.ctx, tenant_slug=device.tenant.slug)).rows
    assert after.last_seen > before.last_seen
    assert (after.id, after.hw_fingerprint, after.created_at) == (before.id, before.hw_fingerprint, before.created_at)


async def test_other_hardware_is_refused_and_leaves_last_seen_alone(sanic_client: LiveServer, clock) -> None:
    device = await activated(sanic_client)
    before = (await list_devices(sanic_client.ctx, tenant_slug=device.tenant.slug)).rows
    clock.move(minutes=5)

    answer = await sanic_client.http.post(
        "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": "other hardware"}
    )

    assert (answer.status_code, answer.json()["errorCode"]) == (403, "fingerprint_mismatch")
    assert (await list_devices(sanic_client.ctx, tenant_slug=device.tenant.slug)).rows == before


async def test_heartbeats_at_once_are_each_acknowledged(sanic_client: LiveServer, clock) -> None:
    """Also two of one device in one batch, one of them from other hardware."""
    tenant = await licensed(sanic_client, max_uses=10)
    devices = [await activated(sanic_client, tenant, f"hardware-{number}") for number in range(10)]
    before = {
        device.id: device.last_seen for device in (await list_devices(sanic_client.ctx, tenant_slug=tenant.slug)).rows
    }
    clock.move(minutes=5)

    runtime = sanic_client.runtime
    with (
        asked_together(runtime, HEARTBEATS, 100) as shared_heartbeats,
        asked_together(runtime, DEVICE_POLICIES, 10) as shared_standings,
        counted_statements(runtime.db) as statements,
    ):
        answers = await asyncio.gather(
            *(
                sanic_client.http.post(
                    "/licenses/heartbeat",
                    headers=devices[n % 10].headers,
                    json={"hw_fingerprint": f"hardware-{n % 10}" if n < 90 else "other hardware"},
                )
                for n in range(100)
            )
        )

    assert [answer.status_code for answer in answers] == [200] * 90 + [403] * 10
    heartbeats = [statement for statement in statements if "UPDATE" in statement]
    assert 1 <= len(heartbeats) <= shared_heartbeats
    assert 1 <= len(statements) - len(heartbeats) <= shared_standings
    after = {
        device.id: device.last_seen for device in (await list_devices(sanic_client.ctx, tenant_slug=tenant.slug)).rows
    }
    assert all(after[device] > before[device] for device in before)


async def test_a_device_that_was_deleted_is_unknown(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await change(sanic_client, device_rows.delete())

    answers = [
        await sanic_client.http.get("/licenses/policy", headers=device.headers),
        await sanic_client.http.post(
            "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
        ),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [(401, "device_unknown")] * 2


async def test_the_policy_is_told_in_every_state(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    told = []
    for state in SUBSCRIPTION_STATES:
        await subscribe(sanic_client, device.tenant, state)
        answer = await sanic_client.http.get("/licenses/policy", headers=device.headers)
        told.append((answer.status_code, answer.json()))

    assert told == [
        (200, {"plan_name": device.tenant.plan, "monthly_run_quota": 50, "subscription_state": state})
        for state in SUBSCRIPTION_STATES
    ]


async def test_the_policy_without_a_subscription_grants_nothing(sanic_client: LiveServer, clock) -> None:
    device = await activated(sanic_client)
    await change(sanic_client, subscriptions.update().values(ended_at=clock.now()))

    answer = await sanic_client.http.get("/licenses/policy", headers=device.headers)

    assert answer.status_code == 200
    assert answer.json() == {"plan_name": None, "monthly_run_quota": 0, "subscription_state": "none"}


async def test_a_changed_plan_is_told_at_the_next_call(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await change(sanic_client, plans.update().values(monthly_run_quota=7))

    answer = await sanic_client.http.get("/licenses/policy", headers=device.headers)

    assert answer.json()["monthly_run_quota"] == 7


async def test_branding_is_told_to_anybody(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    bare = await licensed(sanic_client)
    shown = {"logo_url": "https://acme.example/logo.svg", "primary_color": "#102030", "domain": "acme.example"}
    await change(sanic_client, tenants.update().where(tenants.c.slug == tenant.slug).values(**shown))

    answers = [await sanic_client.http.get(f"/licenses/branding/{slug}") for slug in (tenant.slug, bare.slug)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, shown),
        (200, {"logo_url": None, "primary_color": None, "domain": None}),
    ]


async def test_branding_of_nobody_is_not_found(sanic_client: LiveServer) -> None:
    answers = [await sanic_client.http.get(f"/licenses/branding/{slug}") for slug in ("nobody", "a%00b", "%ff", "ü")]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [(404, "tenant_not_found")] * 4
