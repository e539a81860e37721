"""A known device activates again: what it uses up, and what is told of it."""

from __future__ import annotations

from datetime import datetime

import pytest
from support.admin import Admin
from support.builders import activate, activated, licensed
from support.clocks import MovableClock
from support.licensing import seats, uses
from support.live import LiveServer
from support.rows import told

from app.services.licensing.codes import revoke_code


@pytest.mark.parametrize("ttl_days", [None, 30])
async def test_a_code_that_a_known_device_uses_shows_when_it_was_used(
    admin: Admin, clock: MovableClock, ttl_days: int | None
) -> None:
    tenant = await licensed(admin.live, codes=2, max_uses=2, ttl_days=ttl_days)
    await activated(admin.live, tenant, code=tenant.codes[0])
    clock.move(hours=5)
    await activated(admin.live, tenant, code=tenant.codes[1])

    second, first = (await admin.ask("GET", "/codes"))["codes"]

    assert (second["hint"], second["useCount"], first["useCount"]) == (tenant.codes[1][-4:], 1, 1)
    apart = datetime.fromisoformat(second["usedAt"]) - datetime.fromisoformat(first["usedAt"])
    assert round(apart.total_seconds() / 3600) == 5


async def test_the_trail_names_the_code_that_a_device_has_used_and_tells_that_it_came_again(
    sanic_client: LiveServer,
) -> None:
    tenant = await licensed(sanic_client, codes=2)
    first, second = [code[-4:] for code in tenant.codes]
    device = await activated(sanic_client, tenant)
    await activated(sanic_client, tenant)
    await activated(sanic_client, tenant, code=tenant.codes[1])

    titles = [event.title for event in await told(sanic_client, tenant.tenant_id)][-4:]

    assert titles == [
        f"Code …{first} activated device {device.device_id}",
        f"Device {device.device_id} enrolled",
        f"Device {device.device_id} activated again",
        f"Code …{second} activated device {device.device_id}",
    ]


async def test_a_lost_answer_costs_no_further_use(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    first = await activated(sanic_client, tenant)

    second = await activated(sanic_client, tenant)

    assert second.device_id == first.device_id
    assert second.refresh_token != first.refresh_token
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1], 1)


async def test_a_bound_device_activates_again_when_its_code_has_expired(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await licensed(sanic_client, ttl_days=1)
    await activated(sanic_client, tenant)
    clock.move(days=400)

    answer = await activate(sanic_client, tenant)

    assert answer.status_code == 200
    assert await uses(sanic_client, tenant) == [1]


async def test_a_bound_device_does_not_activate_again_when_its_code_is_revoked(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await activated(sanic_client, tenant)
    await revoke_code(sanic_client.ctx, tenant.slug, code=tenant.codes[0])

    answer = await activate(sanic_client, tenant)

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "activation_code_revoked")


async def test_a_known_device_with_another_code_uses_that_one_and_keeps_its_seat(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2, max_devices=1)
    first = await activated(sanic_client, tenant, code=tenant.codes[0])

    second = await activated(sanic_client, tenant, code=tenant.codes[1])

    assert second.device_id == first.device_id
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1, 1], 1)


async def test_a_rebound_device_activates_again_with_its_new_code_only(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    await activated(sanic_client, tenant, code=tenant.codes[0])
    await activated(sanic_client, tenant, code=tenant.codes[1])

    again = await activate(sanic_client, tenant, code=tenant.codes[1])
    back = await activate(sanic_client, tenant, code=tenant.codes[0])

    assert again.status_code == 200
    assert (back.status_code, back.json()["errorCode"]) == (400, "activation_code_used_up")
    assert await uses(sanic_client, tenant) == [1, 1]
