"""Operators list tenants by what they use: the order is exact, whatever of it is folded."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Select, insert, select, update
from support.admin import Admin, as_operator
from support.builders import activated, licensed, report, run_event
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import change, rows

from app.services.operators.statistics import fold_statistics
from app.services.usage import months
from app.services.usage.months import fold_runs, keep_months
from app.services.usage.upkeep import check_rollups
from sql.tables import monthly_runs, opened_months, run_changes, usage_rollups


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


async def sums_by_tenant(live: LiveServer, *sources: Select[Any]) -> dict[int, int]:
    """The numbers that the sources have for each tenant, added up."""
    sums: Counter[int] = Counter()
    for source in sources:
        for tenant_id, runs in await rows(live, source):
            sums[tenant_id] += int(runs)
    return +sums


MONTHS = (select(monthly_runs.c.tenant_id, monthly_runs.c.runs), select(run_changes.c.tenant_id, run_changes.c.runs))
DAYS = select(usage_rollups.c.tenant_id, usage_rollups.c.quantity).where(usage_rollups.c.kind == "run")


async def test_the_sums_of_a_month_equal_those_of_its_days(sanic_client: LiveServer) -> None:
    devices = [await activated(sanic_client, await licensed(sanic_client)) for _ in range(2)]
    for number in range(3):
        await asyncio.gather(
            *(report(sanic_client, device, run_event(f"{number}", number + 1), run_event("x")) for device in devices),
            fold_statistics(sanic_client.ctx),
            fold_statistics(sanic_client.ctx),
        )

    daily, both = await sums_by_tenant(sanic_client, DAYS), await sums_by_tenant(sanic_client, *MONTHS)
    await fold_statistics(sanic_client.ctx)
    folded, left = [await sums_by_tenant(sanic_client, source) for source in MONTHS]

    assert daily == both == folded == {device.tenant.tenant_id: 7 for device in devices}
    assert left == {}


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


async def test_the_check_finds_a_month_that_is_not_its_days(sanic_client: LiveServer) -> None:
    await report(sanic_client, await activated(sanic_client, await licensed(sanic_client)), run_event("a", 5))
    await change(sanic_client, update(run_changes).values(runs=4))

    found = await check_rollups(sanic_client.ctx)
    assert (found["differences"], found["month_differences"]) == (0, 1)


async def test_the_months_before_this_one_are_closed(sanic_client: LiveServer, clock: MovableClock) -> None:
    await licensed(sanic_client)
    for _ in range(3):
        await keep_months(sanic_client.ctx)
        clock.move(days=31)
    await keep_months(sanic_client.ctx)

    this_month = clock.now().date().replace(day=1)
    kept = {row.month for row in await rows(sanic_client, select(monthly_runs.c.month))}
    opened = {row.month for row in await rows(sanic_client, select(opened_months.c.month))}
    assert kept == opened
    assert min(kept) == this_month
    assert len(kept) == 2


async def test_very_many_changes_are_folded_some_at_a_time(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client, await licensed(sanic_client))
    for number in range(5):
        await report(sanic_client, device, run_event(f"{number}", 2))
    monkeypatch.setattr(months, "CHANGES_AT_ONCE", 2)

    folded = [await fold_runs(sanic_client.ctx) for _ in range(2)]

    assert folded == [5, 0]
    assert await rows(sanic_client, run_changes.select()) == []
    assert await sums_by_tenant(sanic_client, *MONTHS) == {device.tenant.tenant_id: 10}


async def test_usage_that_a_deleted_tenant_has_left_is_nobodys(sanic_client: LiveServer, admin: Admin) -> None:
    device = await activated(sanic_client, await licensed(sanic_client))
    await report(sanic_client, device, run_event("a", 5))
    (left,) = await rows(sanic_client, run_changes.select())

    await admin.ask("DELETE", f"/tenants/{device.tenant.slug}", 204)
    assert await rows(sanic_client, run_changes.select()) == []
    await change(sanic_client, insert(run_changes).values(tenant_id=left.tenant_id, month=left.month, runs=left.runs))
    await fold_statistics(sanic_client.ctx)

    assert await rows(sanic_client, run_changes.select()) == await rows(sanic_client, monthly_runs.select()) == []
