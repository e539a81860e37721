"""Operators list tenants by what they use: the order is exact, whatever of it is folded."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from support.admin import Admin, as_operator
from support.builders import activated, licensed, report, run_event
from support.clocks import MovableClock
from support.live import LiveServer

from app.services.upkeep.months import keep_months
from app.services.upkeep.statistics import fold_statistics
from app.services.upkeep.usage import check_rollups


@pytest.mark.parametrize("is_opened", [False, True])
@pytest.mark.parametrize("field", ["usage", "usage_current"])
async def test_tenants_are_sorted_by_the_months_usage(
    sanic_client: LiveServer, admin: Admin, clock: MovableClock, field: str, is_opened: bool
) -> None:
    tenants_ = [await licensed(sanic_client) for _ in range(4)]
    if is_opened:
        await keep_months(sanic_client.ctx)
        now = clock.now()
        clock.move(days=((now.replace(day=1) + timedelta(days=32)).replace(day=1) - now).days + 2)
    admin = Admin(sanic_client, await as_operator(sanic_client))
    late = await licensed(sanic_client)
    for tenant, runs in ((tenants_[1], 3), (tenants_[2], 9)):
        device = await activated(sanic_client, tenant)
        at = clock.now().isoformat()
        await report(sanic_client, device, run_event("a", runs - 1, at=at), run_event("b", 50, kind="tokens", at=at))
        await report(sanic_client, device, run_event("c", 1, at=at))
    idle = [late.slug, tenants_[3].slug, tenants_[0].slug]
    used = [tenants_[2].slug, tenants_[1].slug]

    assert await admin.slugs(sort_field=field) == [*used, *idle]
    assert await admin.slugs(sort_field=field, sort_direction="asc") == [*idle, *reversed(used)]
    assert (await admin.slugs(sort_field=field, page=2, page_size=2)) == idle[:2]
    shown = (await admin.tenants(sort_field=field))["items"]
    assert [tenant["usageCurrent"] for tenant in shown] == [9, 3, 0, 0, 0]


async def test_tenants_are_in_order_while_some_of_their_usage_is_not_folded(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    there = [await licensed(sanic_client) for _ in range(6)]
    slugs = [tenant.slug for tenant in there]
    await keep_months(sanic_client.ctx)
    now = clock.now()
    clock.move(days=((now.replace(day=1) + timedelta(days=32)).replace(day=1) - now).days + 2)
    devices = [await activated(sanic_client, tenant) for tenant in there]
    admin = Admin(sanic_client, await as_operator(sanic_client))
    chance = random.Random(6)
    used = dict.fromkeys(slugs, 0)
    for number in range(20):
        device, runs = chance.choice(devices), chance.randint(1, 5)
        await report(sanic_client, device, run_event(f"{number}", runs, at=clock.now().isoformat()))
        used[device.tenant.slug] += runs
        if number % 7 == 3:
            await fold_statistics(sanic_client.ctx)
        wanted = sorted(slugs, key=lambda slug: (used[slug], slugs.index(slug)), reverse=True)
        pages = [await admin.slugs(sort_field="usage_current", page=page, page_size=4) for page in (1, 2)]
        assert [*pages[0], *pages[1]] == wanted
        upwards = sorted(slugs, key=lambda slug: (used[slug], -slugs.index(slug)))
        assert await admin.slugs(sort_field="usage_current", sort_direction="asc", search="tenant") == upwards
        assert await admin.slugs(sort_field="usage_current", status="active", page_size=3) == wanted[:3]
    assert (await check_rollups(sanic_client.ctx))["month_differences"] == 0
