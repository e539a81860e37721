"""Policy, heartbeat and branding."""

from __future__ import annotations

import asyncio

from support.builders import activated, licensed
from support.live import LiveServer
from support.statements import counted_statements

from app.services.licensing.devices import list_devices, revoke_device


async def test_policy_tells_what_the_plan_grants(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await sanic_client.http.get("/licenses/policy", headers=device.headers)

    assert answer.status_code == 200
    assert answer.json() == {
        "plan_name": device.tenant.plan,
        "monthly_run_quota": 50,
        "subscription_state": "active",
    }


async def test_a_hundred_policies_at_once_share_a_few_statements(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=10)
    devices = [await activated(sanic_client, tenant, f"hardware-{number}") for number in range(10)]

    with counted_statements(sanic_client.runtime.db) as statements:
        answers = await asyncio.gather(
            *(sanic_client.http.get("/licenses/policy", headers=devices[n % 10].headers) for n in range(100))
        )

    assert {answer.status_code for answer in answers} == {200}
    assert len(statements) <= 50
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
    (before,) = await list_devices(sanic_client.ctx, device.tenant.slug)
    clock.move(minutes=5)

    answer = await sanic_client.http.post(
        "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
    )

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    (after,) = await list_devices(sanic_client.ctx, device.tenant.slug)
    assert after.last_seen > before.last_seen
    assert (after.id, after.hw_fingerprint, after.created_at) == (before.id, before.hw_fingerprint, before.created_at)
