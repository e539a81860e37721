"""The nightly work: whose days it goes by, what it says of a wrong sum, and what it removes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs
from support.builders import activated, licensed, refresh, report, run_event
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.rows import change, row_counts, rows
from support.statements import counted_statements

from app.calendar import months_later
from app.database import removal
from app.services.licensing.signing_keys import rotate_keys
from app.services.upkeep import usage
from app.services.upkeep.months import keep_months
from app.services.upkeep.usage import apply_retention, check_rollups
from sql.tables import opened_months, refresh_families, run_changes, signing_keys, usage_events, usage_rollups


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
    # In UTC, because the difference of two moments of one zone knows no summer time.
    clock.move(seconds=(midnight.astimezone(UTC) - clock.now()).total_seconds() + 1800)
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
    assert (months["next_month"], months["rows"]) == (next_month.isoformat(), 2)
    assert {row.month for row in await rows(early, select(opened_months.c.month))} == {this_month, next_month}


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

    nothing = dict.fromkeys(("usage_events", "llm_calls", "model_answers"), 0)
    assert removed == {**nothing, "refresh_families": 1, "signing_keys": 1}
    left = await rows(sanic_client, select(refresh_families.c.device_id))
    assert [family.device_id for family in left] == [alive.device_id]
    assert [key.kid for key in await rows(sanic_client, select(signing_keys.c.kid))] == [rotation.kid]
    assert (await refresh(sanic_client, alive)).status_code == 200


async def test_sums_equal_their_events_after_a_storm(sanic_client: LiveServer) -> None:
    """Two tenants, three days, two kinds, and every second event sent twice at the same time."""
    devices = [await activated(sanic_client, await licensed(sanic_client)) for _ in range(2)]
    now = datetime.now(UTC)

    def events(sender: int) -> list[dict[str, object]]:
        return [
            run_event(
                f"event-{(sender // 2) * 20 + n}",
                n + 1,
                kind="run" if n % 2 else "tokens",
                at=(now - timedelta(days=n % 3)).isoformat(),
            )
            for n in range(20)
        ]

    answers = await asyncio.gather(
        *(report(sanic_client, devices[sender % 2], *events(sender // 2)) for sender in range(60))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["accepted"] for answer in answers) == 2 * 15 * 20
    counted = select(
        usage_events.c.tenant_id,
        usage_events.c.day,
        usage_events.c.kind,
        func.sum(usage_events.c.quantity),
        func.count(),
    ).group_by(usage_events.c.tenant_id, usage_events.c.day, usage_events.c.kind)
    assert sorted(await rows(sanic_client, counted)) == sorted(await rows(sanic_client, usage_rollups.select()))
    assert (await check_rollups(sanic_client.ctx))["differences"] == 0


async def test_a_sum_that_was_changed_is_found(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a", 5))
    async with sanic_client.ctx.write() as conn:
        await conn.affected(usage_rollups.update().values(quantity=4))
    clock.move(days=1)

    found = await check_rollups(sanic_client.ctx)

    assert found["differences"] == 1


async def test_the_sums_are_compared_one_day_after_the_other(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)
    days_ago = [(clock.now() - timedelta(days=days)).isoformat() for days in range(4)]
    await report(sanic_client, device, *(run_event(at, at=at) for at in days_ago))
    clock.move(days=1)
    await change(sanic_client, usage_rollups.update().values(quantity=4))

    with counted_statements(sanic_client.runtime.db) as seen:
        found = await check_rollups(sanic_client.ctx)
    monkeypatch.setattr(usage, "MAX_REPORTED", 3)

    days = sanic_client.runtime.settings.usage_past_days + 1
    assert len([statement for statement in seen if "FROM usage_events" in statement]) == days
    assert found["differences"] == 4
    assert (await check_rollups(sanic_client.ctx))["differences"] == 3


async def test_old_events_go_and_their_sums_stay(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a", 5))
    clock.move(days=31 * 14)

    removed = await apply_retention(sanic_client.ctx)

    assert removed["usage_events"] == 1
    counts = await row_counts(sanic_client)
    assert (counts["usage_events"], counts["usage_rollups"]) == (0, 1)


async def test_very_many_old_events_go_some_at_a_time(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, *(run_event(f"old {number}") for number in range(5)))
    clock.move(days=31 * 14)
    later = await activated(sanic_client, hw_fingerprint="hardware-2")
    await report(sanic_client, later, run_event("new"))
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)

    with counted_statements(sanic_client.runtime.db) as seen:
        removed = await apply_retention(sanic_client.ctx)

    assert removed["usage_events"] == 5
    assert len([statement for statement in seen if "DELETE FROM usage_events" in statement]) == 3
    assert (await row_counts(sanic_client))["usage_events"] == 1
