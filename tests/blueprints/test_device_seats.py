"""Who holds a seat: devices are released, revoked, reinstated and activated again, and every count follows."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import func, select, update
from support.admin import as_operator, as_tenant
from support.builders import Activated, Licensed, activate, activated, licensed, refresh
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import change, rows, told

from app.services.licensing import idle_seats
from sql.tables import devices, plans, subscriptions


async def seats(live: LiveServer, tenant: Licensed) -> tuple[int, int]:
    """The subscription's counter, and the devices that hold a seat."""
    counter = select(subscriptions.c.seats_used).where(subscriptions.c.tenant_id == tenant.tenant_id)
    held = select(func.count()).where(devices.c.tenant_id == tenant.tenant_id, devices.c.seat_held)
    return (await rows(live, counter))[0][0], (await rows(live, held))[0][0]


async def limited(live: LiveServer, max_devices: int = 1) -> Licensed:
    """A tenant on a plan with so many seats."""
    return await licensed(live, codes=4, max_devices=max_devices)


async def as_device(live: LiveServer, device: Activated, method: str, path: str, **more: Any) -> Response:
    return await live.http.request(method, path, headers=device.headers, **more)


def said(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("errorCode")


async def test_a_released_machine_comes_back_when_there_is_room(sanic_client: LiveServer) -> None:
    tenant = await limited(sanic_client)
    operator = await as_operator(sanic_client)
    first = await activated(sanic_client, tenant, "PC-1")

    released = await sanic_client.http.post(f"/admin/api/devices/{first.device_id}/release", headers=operator)
    third = await activate(sanic_client, tenant, "PC-3", tenant.codes[1])
    full = await activate(sanic_client, tenant, "PC-1")
    await sanic_client.http.post(f"/admin/api/devices/{third.json()['device_id']}/release", headers=operator)
    back = await activate(sanic_client, tenant, "PC-1")

    assert released.json() == {"success": True, "message": f"Device {first.device_id} is released."}
    assert third.status_code == 200
    assert said(full) == (403, "device_limit_reached")
    assert (back.status_code, back.json()["device_id"]) == (200, first.device_id)
    assert await seats(sanic_client, tenant) == (1, 1)
    reported = [event.event_type for event in await told(sanic_client, tenant.tenant_id)]
    assert reported[-2:] == ["device_released", "device_reactivated"]


async def test_a_released_device_is_refused_until_it_is_activated(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    own = await as_device(sanic_client, device, "POST", "/authz/deactivate")
    again = await as_device(sanic_client, device, "POST", "/authz/deactivate")
    refused = [
        await as_device(sanic_client, device, "GET", "/licenses/policy"),
        await as_device(
            sanic_client, device, "POST", "/licenses/heartbeat", json={"hw_fingerprint": device.hw_fingerprint}
        ),
        await refresh(sanic_client, device),
    ]
    released = await seats(sanic_client, device.tenant)
    back = await activated(sanic_client, device.tenant)

    assert own.json() == again.json() == {"device_id": device.device_id, "has_seat": False}
    assert [said(answer) for answer in refused] == [(403, "device_released")] * 3
    assert (released, await seats(sanic_client, device.tenant)) == ((0, 0), (1, 1))
    assert (await as_device(sanic_client, back, "GET", "/licenses/policy")).status_code == 200
    # The tokens from before the release are dead.
    assert said(await refresh(sanic_client, device)) == (401, "refresh_token_invalid")
    reported = [event.event_type for event in await told(sanic_client, device.tenant.tenant_id)]
    assert reported.count("device_released") == 1


async def test_a_reinstated_device_may_activate_again(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    operator = await as_operator(sanic_client)
    path = f"/admin/api/devices/{device.device_id}"
    await sanic_client.http.delete(path, headers=operator)
    # Releasing what is revoked changes nothing.
    await sanic_client.http.post(f"{path}/release", headers=operator)
    banned = await activate(sanic_client, device.tenant)

    await sanic_client.http.post(f"{path}/reinstate", headers=operator)
    await sanic_client.http.post(f"{path}/reinstate", headers=operator)
    between = await seats(sanic_client, device.tenant)
    still = await as_device(sanic_client, device, "GET", "/licenses/policy")
    back = await activate(sanic_client, device.tenant)

    assert said(banned) == (403, "device_revoked")
    assert between == (0, 0)
    assert said(still) == (403, "device_released")
    assert (back.status_code, await seats(sanic_client, device.tenant)) == (200, (1, 1))
    reported = [event.event_type for event in await told(sanic_client, device.tenant.tenant_id)]
    assert reported[-3:] == ["device_revoked", "device_reinstated", "device_reactivated"]


async def test_no_verb_finds_a_device_that_there_is_not(sanic_client: LiveServer) -> None:
    operator = await as_operator(sanic_client)

    answers = [
        await sanic_client.http.post(f"/admin/api/devices/{2**40}/{verb}", headers=operator)
        for verb in ("release", "reinstate")
    ]

    assert [said(answer) for answer in answers] == [(404, "device_not_found")] * 2


async def test_a_tenant_releases_its_own_devices_and_revokes_them_if_its_plan_lets_it(sanic_client: LiveServer) -> None:
    device, foreign = await activated(sanic_client), await activated(sanic_client)
    headers = await as_tenant(sanic_client, device.tenant.tenant_id)
    path = "/api/tenant/devices"

    listed = (await sanic_client.http.get(path, headers=headers)).json()
    released = await sanic_client.http.post(f"{path}/{device.device_id}/release", headers=headers)
    theirs = await sanic_client.http.post(f"{path}/{foreign.device_id}/release", headers=headers)
    refused = await sanic_client.http.delete(f"{path}/{device.device_id}", headers=headers)
    await change(sanic_client, update(plans).where(plans.c.name == device.tenant.plan).values(tenant_may_revoke=True))
    revoked = await sanic_client.http.delete(f"{path}/{device.device_id}", headers=headers)
    after = (await sanic_client.http.get(path, headers=headers)).json()["devices"]

    assert [(each["id"], each["hasSeat"], each["isRevoked"]) for each in listed["devices"]] == [
        (device.device_id, True, False)
    ]
    assert (released.status_code, said(theirs)) == (200, (404, "device_not_found"))
    assert said(refused) == (403, "revoking_not_allowed")
    assert (revoked.status_code, [(each["hasSeat"], each["isRevoked"]) for each in after]) == (200, [(False, True)])
    assert await seats(sanic_client, foreign.tenant) == (1, 1)


async def test_every_count_says_the_same(sanic_client: LiveServer) -> None:
    tenant = await limited(sanic_client, max_devices=4)
    operator = await as_operator(sanic_client)
    enrolled = [
        (await activated(sanic_client, tenant, f"hw-{number}", tenant.codes[number])).device_id for number in range(4)
    ]
    await sanic_client.http.post(f"/admin/api/devices/{enrolled[0]}/release", headers=operator)
    await sanic_client.http.delete(f"/admin/api/devices/{enrolled[1]}", headers=operator)

    listed = (
        await sanic_client.http.get("/admin/api/devices", params={"tenant_slug": tenant.slug}, headers=operator)
    ).json()["devices"]
    dashboard = (await sanic_client.http.get("/admin/api/dashboard-stats", headers=operator)).json()

    assert {each["id"]: each["hasSeat"] for each in listed} == dict(
        zip(enrolled, [False, False, True, True], strict=True)
    )
    assert [dashboard[name] for name in ("totalDevices", "activeDevices", "revokedDevices")] == [4, 2, 1]
    assert await seats(sanic_client, tenant) == (2, 2)


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_known_device_with_another_code_takes_a_seat_or_nothing(
    sanic_client: LiveServer, is_full: bool
) -> None:
    tenant = await limited(sanic_client, max_devices=1)
    device = await activated(sanic_client, tenant, "PC-1")
    await as_device(sanic_client, device, "POST", "/authz/deactivate")
    if is_full:
        assert (await activate(sanic_client, tenant, "PC-2", tenant.codes[1])).status_code == 200

    back = await activate(sanic_client, tenant, "PC-1", tenant.codes[2])

    assert said(back) == ((403, "device_limit_reached") if is_full else (200, None))
    assert await seats(sanic_client, tenant) == (1, 1)


async def test_a_silent_device_gives_its_seat_back_and_a_refresh_takes_one_again(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_seats, "BATCH_SIZE", 1)
    tenant = await limited(sanic_client, max_devices=3)
    idle_days = update(plans).where(plans.c.name == tenant.plan).values(device_idle_days=7)
    await change(sanic_client, idle_days)
    silent, other, refreshing = [
        await activated(sanic_client, tenant, f"hw-{number}", tenant.codes[number]) for number in range(3)
    ]
    forever = await activated(sanic_client)
    clock.move(days=5)
    renewed = await refresh(sanic_client, refreshing)
    clock.move(days=3)

    freed = [await idle_seats.free_idle_seats(sanic_client.ctx) for _ in range(2)]
    between = await seats(sanic_client, tenant)
    back = await refresh(sanic_client, silent)

    assert (renewed.status_code, freed) == (200, [{"freed_seats": 2}, {"freed_seats": 0}])
    assert (between, back.status_code) == ((1, 1), 200)
    assert await seats(sanic_client, tenant) == (2, 2)
    headers = {"authorization": f"Bearer {back.json()['access_token']}"}
    assert (await sanic_client.http.get("/licenses/policy", headers=headers)).status_code == 200
    # Those who are full refuse it by name, and its token is as good as before when there is room.
    newcomer = await activated(sanic_client, tenant, "newcomer", tenant.codes[3])
    full = await refresh(sanic_client, other)
    await as_device(sanic_client, newcomer, "POST", "/authz/deactivate")
    later = await refresh(sanic_client, other)
    assert (said(full), later.status_code) == ((403, "device_limit_reached"), 200)
    assert await seats(sanic_client, tenant) == (3, 3)
    assert await seats(sanic_client, forever.tenant) == (1, 1)


async def test_a_used_token_takes_no_seat_for_a_silent_device(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await limited(sanic_client)
    await change(sanic_client, update(plans).where(plans.c.name == tenant.plan).values(device_idle_days=1))
    device = await activated(sanic_client, tenant)
    await refresh(sanic_client, device)
    clock.move(days=2)
    await idle_seats.free_idle_seats(sanic_client.ctx)

    thief = await refresh(sanic_client, device)

    assert said(thief) == (401, "refresh_token_reused")
    assert await seats(sanic_client, tenant) == (0, 0)


async def test_a_silent_device_with_a_good_access_token_is_told_to_refresh(
    sanic_client: LiveServer,
) -> None:
    device = await activated(sanic_client)
    await change(sanic_client, update(devices).where(devices.c.id == device.device_id).values(seat_held=False))

    refused = await as_device(sanic_client, device, "GET", "/licenses/policy")

    assert said(refused) == (403, "device_idle")
