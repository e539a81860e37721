"""The devices that operators list and revoke."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from support.admin import Admin, as_operator
from support.builders import activate, activated, licensed
from support.live import LiveServer
from support.rows import change, labelled, named, rows, told

from app.access.keys import fingerprint_hash
from sql.tables import devices, subscriptions, tenants

DEVICE_KEYS = {
    "id",
    "tenant",
    "tenantSlug",
    "label",
    "hwFingerprint",
    "deviceType",
    "lastSeen",
    "createdAt",
    "isRevoked",
    "hasSeat",
    "cloneCount",
}


@pytest.fixture
async def admin(sanic_client: LiveServer) -> Admin:
    """An operator."""
    return Admin(sanic_client, await as_operator(sanic_client, "operator"))


async def test_devices_of_all_tenants_are_listed_newest_first(admin: Admin) -> None:
    first, second = [await activated(admin.live) for _ in range(2)]
    await admin.live.http.post(
        "/licenses/heartbeat", headers=first.headers, json={"hw_fingerprint": first.hw_fingerprint}
    )

    listed = await admin.ask("GET", "/devices")

    assert listed.keys() == {"devices", "total", "total_is_capped"}
    assert (listed["total"], [device["id"] for device in listed["devices"]]) == (
        2,
        [second.device_id, first.device_id],
    )
    shown = listed["devices"][1]
    assert shown.keys() == DEVICE_KEYS
    assert {name: shown[name] for name in DEVICE_KEYS - {"tenant", "lastSeen", "createdAt"}} == {
        "id": first.device_id,
        "tenantSlug": first.tenant.slug,
        "label": None,
        "hwFingerprint": fingerprint_hash(first.hw_fingerprint),
        "deviceType": "desktop",
        "isRevoked": False,
        "hasSeat": True,
        "cloneCount": 0,
    }
    assert shown["lastSeen"] > shown["createdAt"]
    assert shown["lastSeen"].endswith("Z")


async def test_devices_of_a_tenant_are_listed_by_when_they_were_seen(admin: Admin) -> None:
    tenant = await licensed(admin.live, max_uses=10)
    silent, alive = [await activated(admin.live, tenant, f"hardware {number}") for number in range(2)]
    for device in (alive, silent, alive):
        beat = {"hw_fingerprint": device.hw_fingerprint}
        await admin.live.http.post("/licenses/heartbeat", headers=device.headers, json=beat)
    await activated(admin.live)

    pages = [
        await admin.ask("GET", "/devices", params={"tenant_slug": tenant.slug, "page": page, "page_size": 1})
        for page in (1, 2)
    ]

    assert [page["devices"][0]["id"] for page in pages] == [alive.device_id, silent.device_id]
    assert [page["total"] for page in pages] == [2, 2]


async def test_devices_are_found_by_label_fingerprint_and_tenant(admin: Admin) -> None:
    tenant = await licensed(admin.live, max_uses=10)
    one, other = [await activated(admin.live, tenant, f"hardware {number}") for number in range(2)]
    elsewhere = await activated(admin.live)
    await change(admin.live, update(devices).where(devices.c.id == one.device_id).values(**labelled("Front_desk")))
    await change(admin.live, update(tenants).where(tenants.c.id == elsewhere.tenant.tenant_id).values(**named("Zebra")))

    async def found(**query: Any) -> list[int]:
        return [device["id"] for device in (await admin.ask("GET", "/devices", params=query))["devices"]]

    assert await found(search="front_") == [one.device_id]
    assert await found(search=fingerprint_hash(other.hw_fingerprint)[:30].upper()) == [other.device_id]
    assert await found(search="ZEB") == [elsewhere.device_id]
    assert await found(search="zeb", tenant_slug=tenant.slug) == []
    assert await found(search="zeb", tenant_slug=elsewhere.tenant.slug) == [elsewhere.device_id]
    await admin.ask("GET", "/devices", 422, params={"page_size": 101})


async def test_a_revoked_device_frees_its_seat(admin: Admin) -> None:
    tenant = await licensed(admin.live, max_devices=1, max_uses=5)
    device = await activated(admin.live, tenant)
    assert (await activate(admin.live, tenant, "hardware 2")).status_code == 403

    answers = [await admin.ask("DELETE", f"/devices/{device.device_id}") for _ in range(2)]

    assert [answer["success"] for answer in answers] == [True, True]
    assert (await rows(admin.live, subscriptions.select()))[0].seats_used == 0
    assert (await activate(admin.live, tenant, "hardware 2")).status_code == 200
    assert (await admin.live.http.get("/licenses/policy", headers=device.headers)).status_code == 401
    revoked = [event for event in await told(admin.live, tenant.tenant_id) if event.event_type == "device_revoked"]
    assert [(event.device_id, event.actor_name) for event in revoked] == [(device.device_id, "token tests as operator")]
    listed = (await admin.ask("GET", "/devices"))["devices"]
    assert {shown["id"]: shown["isRevoked"] for shown in listed}[device.device_id] is True
