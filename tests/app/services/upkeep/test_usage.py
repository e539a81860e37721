"""The nightly work: whose days it goes by, what it says of a wrong sum, and what it removes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs
from support.builders import activated, refresh, report, run_event
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.rows import change, row_counts, rows

from app.calendar import months_later
from app.services.licensing.signing_keys import rotate_keys
from app.services.upkeep.months import keep_months
from app.services.upkeep.usage import apply_retention, check_rollups
from sql.tables import opened_months, refresh_families, run_changes, signing_keys, usage_rollups


@pytest.fixture
async def early(database: str, tmp_path: Path, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """A portal where the day begins half a day before it does in UTC."""
    async with live_server(settings_for(database, tmp_path, time_zone="Pacific/Auckland"), clock) as live:
        yield live


def move_past_midnight(live: LiveServer, clock: MovableClock, months: int | None = None) -> datetime:
    """Half an hour past the next midnight of the installation, or past the one that many months begin with."""
    now = clock.now().astimezone(live.runtime.zone)
    day = now.date() + timedelta(days=1) if months is None else months_later(now.date().replace(day=1), months)
    midnight = datetime.combine(day, time(), live.runtime.zone)
    clock.move(seconds=(midnight - now).total_seconds() + 1800)
    return midnight


async def test_the_sums_of_yesterday_are_compared_as_soon_as_its_day_is_over(
    early: LiveServer, clock: MovableClock
) -> None:
    await report(early, await activated(early), run_event("a", 5))
    await change(early, update(usage_rollups).values(quantity=4))
    today = move_past_midnight(early, clock).date()

    found = await check_rollups(early.ctx)

    days = timedelta(days=early.runtime.settings.usage_past_days + 1)
    assert (found["first_day"], found["next_day"]) == ((today - days).isoformat(), today.isoformat())
    assert found["differences"] == 1


async def test_events_go_and_a_month_is_opened_as_soon_as_the_month_begins(
    early: LiveServer, clock: MovableClock
) -> None:
    await report(early, await activated(early), run_event("a"))
    this_month = move_past_midnight(early, clock, early.runtime.settings.usage_retention_months + 1).date()

    removed = await apply_retention(early.ctx)
    months = await keep_months(early.ctx)

    assert (removed["usage_events"], (await row_counts(early))["usage_events"]) == (1, 0)
    next_month = months_later(this_month, 1)
    assert (months["next_month"], months["rows"]) == (next_month.isoformat(), 1)
    assert next_month in {row.month for row in await rows(early, select(opened_months.c.month))}


async def test_of_a_sum_that_is_wrong_the_log_says_everything(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    day = clock.now().date()
    await report(sanic_client, device, run_event("a", 5))
    await change(sanic_client, update(usage_rollups).values(quantity=4))
    clock.move(days=1)

    with capture_logs() as entries:
        await check_rollups(sanic_client.ctx)

    whose = {"log_level": "error", "tenant_id": device.tenant.tenant_id}
    wrong = {"day": day, "kind": "run", "quantity": 5, "events": 1, "rolled_quantity": 4}
    assert {**whose, "event": "usage_rollup_differs", **wrong} in entries


async def test_of_a_month_that_is_wrong_the_log_says_by_how_much(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    month = clock.now().date().replace(day=1)
    await report(sanic_client, device, run_event("a", 5, at=clock.now().isoformat()))
    await change(sanic_client, update(run_changes).values(runs=7))

    with capture_logs() as entries:
        found = await check_rollups(sanic_client.ctx)

    assert found["month_differences"] == 1
    whose = {"log_level": "error", "tenant_id": device.tenant.tenant_id}
    assert entries == [{**whose, "event": "usage_month_differs", "month": month.isoformat(), "too_many": 2}]


async def test_keys_and_tokens_that_nobody_can_use_go_and_the_others_stay(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    silent = await activated(sanic_client)
    rotation = await rotate_keys(sanic_client.ctx)
    clock.move(days=13)
    alive = await activated(sanic_client, silent.tenant, "hardware-2")
    clock.move(days=1, hours=1)

    removed = await apply_retention(sanic_client.ctx)

    assert removed == {"usage_events": 0, "refresh_families": 1, "signing_keys": 1}
    left = await rows(sanic_client, select(refresh_families.c.device_id))
    assert [family.device_id for family in left] == [alive.device_id]
    assert [key.kid for key in await rows(sanic_client, select(signing_keys.c.kid))] == [rotation.kid]
    assert (await refresh(sanic_client, alive)).status_code == 200
