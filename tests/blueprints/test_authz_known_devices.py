"""A known device activates again: what it uses up, and what is told of it."""

from __future__ import annotations

from datetime import datetime

import pytest
from support.admin import Admin
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import told


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
