"""The months by which tenants are ordered: equal to their days, opened and closed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Select, insert, select, update
from support.builders import activated, licensed, report, run_event
from support.clocks import MovableClock
from support.deletions import remove_all
from support.live import LiveServer
from support.rows import change, rows

from app.services.tenants.deletion import delete_tenant
from app.services.upkeep import folds
from app.services.upkeep.months import fold_runs, keep_months
from app.services.upkeep.statistics import fold_statistics
from app.services.upkeep.usage import check_rollups
from sql.tables import monthly_runs, opened_months, run_changes, usage_rollups


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


async def test_the_check_finds_a_month_that_is_not_its_days(sanic_client: LiveServer) -> None:
    await report(sanic_client, await activated(sanic_client, await licensed(sanic_client)), run_event("a", 5))
    await change(sanic_client, update(run_changes).values(runs=4))

    found = await check_rollups(sanic_client.ctx)
    assert (found["differences"], found["month_differences"]) == (0, 1)


@pytest.mark.parametrize("days", [31, 70], ids=["each month", "a portal that stood still for two"])
async def test_this_month_and_the_next_are_open_and_those_before_closed(
    sanic_client: LiveServer, clock: MovableClock, days: int
) -> None:
    tenant = await licensed(sanic_client)
    for _ in range(3):
        await keep_months(sanic_client.ctx)
        clock.move(days=days)
    await keep_months(sanic_client.ctx)

    month = sanic_client.ctx.month()
    kept = [(row.tenant_id, row.month) for row in await rows(sanic_client, select(monthly_runs))]
    opened = [row.month for row in await rows(sanic_client, select(opened_months))]
    assert sorted(opened) == [month.first_day, month.next_day]
    assert sorted(kept) == [(tenant.tenant_id, month.first_day), (tenant.tenant_id, month.next_day)]


async def test_usage_that_a_deleted_tenant_has_left_is_nobodys(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client, await licensed(sanic_client))
    await report(sanic_client, device, run_event("a", 5))
    (left,) = await rows(sanic_client, run_changes.select())

    await delete_tenant(sanic_client.ctx, device.tenant.slug)
    assert await remove_all(sanic_client) == ["finished"]
    assert await rows(sanic_client, run_changes.select()) == []
    await change(sanic_client, insert(run_changes).values(tenant_id=left.tenant_id, month=left.month, runs=left.runs))
    await fold_statistics(sanic_client.ctx)

    assert await rows(sanic_client, run_changes.select()) == await rows(sanic_client, monthly_runs.select()) == []


async def test_very_many_changes_are_folded_some_at_a_time(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client, await licensed(sanic_client))
    for number in range(5):
        await report(sanic_client, device, run_event(f"{number}", 2))
    monkeypatch.setattr(folds, "CHANGES_AT_ONCE", 2)

    folded = [await fold_runs(sanic_client.ctx) for _ in range(2)]

    assert folded == [5, 0]
    assert await rows(sanic_client, run_changes.select()) == []
    assert await sums_by_tenant(sanic_client, *MONTHS) == {device.tenant.tenant_id: 10}
