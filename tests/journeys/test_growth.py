"""Growth: what the seeding script of the bench leaves is what the portal itself would have left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, case, func, select
from support.databases import settings_for

from app.context import Actor, Context
from app.database import schema
from app.database.connections import Database
from app.runtime import Runtime
from app.services.upkeep.usage import check_rollups
from app.settings import Settings
from bench.growth import add_chunk, grow
from bench.growth_rows import Row, Shape, slug
from bench.growth_stores import opened, plans_for
from sql.tables import (
    activation_codes,
    devices,
    llm_calls,
    llm_usage_changes,
    llm_usage_days,
    monthly_runs,
    projects,
    run_changes,
    statistics_changes,
    subscriptions,
    tenants,
    usage_events,
    usage_rollups,
)

TENANTS = 50
CHUNK = 20
SHAPE = Shape(seed=7, today=date(2026, 3, 1), busy_calls=0)


class BrokenOffError(Exception):
    """The run ends in the middle of a chunk."""


@pytest.fixture
def grown(empty_database: str, tmp_path: Path) -> Settings:
    """Settings of the database that grows."""
    return settings_for(empty_database, tmp_path)


async def asked(settings: Settings, *questions: Select[Any]) -> list[Sequence[Any]]:
    """The rows of each question."""
    database = Database(settings)
    try:
        async with database.read() as conn:
            return [await conn.rows(question) for question in questions]
    finally:
        await database.close()


async def test_every_tenant_has_what_was_asked_for_and_a_second_run_adds_nothing(grown: Settings) -> None:
    seen: list[int] = []

    added = await grow(grown, TENANTS, SHAPE, chunk=CHUNK, told=seen.append)
    again = await grow(grown, TENANTS, SHAPE, chunk=CHUNK)

    assert seen == [0, 20, 40, 50]
    assert (added["tenants"], added["activation_codes"], added["devices"]) == (50, 500, 500)
    assert set(again.values()) == {0}
    slugs, codes_each, hashes = await asked(
        grown,
        select(tenants.c.slug).order_by(tenants.c.slug),
        select(func.count(activation_codes.c.id)).group_by(activation_codes.c.tenant_id),
        select(activation_codes.c.code_hash).distinct(),
    )
    assert [row.slug for row in slugs] == [slug(number) for number in range(1, TENANTS + 1)]
    assert {count for (count,) in codes_each} == {10}
    assert {len(row.code_hash) for row in hashes} == {32}
    assert len(hashes) == 500


async def test_an_interrupted_run_is_continued_after_its_last_finished_chunk(
    grown: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema.upgrade(grown)
    async with opened(grown) as store:
        plans = await plans_for(store, SHAPE.devices_each, SHAPE.begin_of(0))
        await add_chunk(store, SHAPE, plans, range(1, CHUNK + 1))
        whole = store.insert

        async def interrupted(table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
            if table == "devices":
                raise BrokenOffError
            await whole(table, columns, rows)

        monkeypatch.setattr(store, "insert", interrupted)
        with pytest.raises(BrokenOffError):
            await add_chunk(store, SHAPE, plans, range(CHUNK + 1, 2 * CHUNK + 1))

    added = await grow(grown, TENANTS, SHAPE, chunk=15)

    assert added["tenants"] == TENANTS - CHUNK
    slugs, ((codes,),) = await asked(
        grown, select(tenants.c.slug).order_by(tenants.c.slug), select(func.count()).select_from(activation_codes)
    )
    assert [row.slug for row in slugs] == [slug(number) for number in range(1, TENANTS + 1)]
    assert codes == 10 * TENANTS


async def test_a_run_that_ended_before_its_figures_were_folded_is_continued_there(grown: Settings) -> None:
    def break_off() -> None:
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        await grow(grown, TENANTS, SHAPE, chunk=CHUNK, folds=break_off)
    waiting = select(func.count()).select_from(statistics_changes)
    (before,) = await asked(grown, waiting)

    await grow(grown, TENANTS, SHAPE, chunk=CHUNK)

    (after,) = await asked(grown, waiting)
    assert before[0][0] > after[0][0] == 0


async def test_the_daily_sums_equal_the_events_of_their_days(grown: Settings) -> None:
    await grow(grown, TENANTS, SHAPE, chunk=CHUNK)

    key = (usage_events.c.tenant_id, usage_events.c.day, usage_events.c.kind)
    events, sums, days = await asked(
        grown,
        select(*key, func.sum(usage_events.c.quantity), func.count()).group_by(*key),
        select(usage_rollups),
        select(usage_rollups.c.day).distinct(),
    )
    of_events = {tuple(row[:3]): (int(row[3]), row[4]) for row in events}
    of_sums = {tuple(row[:3]): (row[3], row[4]) for row in sums}
    event_days = {day for _, day, _ in of_events}
    assert event_days == {date(2026, 2, 28), date(2026, 3, 1), date(2026, 2, 27)}
    assert {key: value for key, value in of_sums.items() if key[1] in event_days} == of_events
    assert (date(2026, 3, 1) - min(day for (day,) in days)).days > 330
    month = date(2026, 3, 1)
    kept, changes = await asked(
        grown, select(monthly_runs).where(monthly_runs.c.month == month), select(func.count()).select_from(run_changes)
    )
    this_month = {tenant_id: quantity for (tenant_id, day, _), (quantity, _) in of_sums.items() if day >= month}
    assert {row.tenant_id: row.runs for row in kept} == this_month
    assert changes == [(0,)]
    runtime = Runtime(grown)
    try:
        found = await check_rollups(Context(runtime, Actor("system", "tests")))
        assert (found["differences"], found["month_differences"]) == (0, 0)
    finally:
        await runtime.close()


async def test_projects_and_calls_of_models_are_those_of_their_tenants(grown: Settings) -> None:
    added = await grow(grown, TENANTS, SHAPE, chunk=CHUNK)

    calls, strangers, changes, days = await asked(
        grown,
        select(func.count(), func.sum(llm_calls.c.cost)),
        select(func.count())
        .select_from(llm_calls)
        .join(projects, projects.c.project_id == llm_calls.c.project_id)
        .where(projects.c.tenant_id != llm_calls.c.tenant_id),
        select(func.count()).select_from(llm_usage_changes),
        select(func.sum(llm_usage_days.c.calls), func.sum(llm_usage_days.c.cost)),
    )
    assert (added["projects"], added["llm_calls"]) == (75, 250)
    assert tuple(map(int, days[0])) == tuple(map(int, calls[0]))
    assert calls[0][0] == 250
    assert strangers == changes == [(0,)]


async def test_the_first_tenant_has_the_calls_of_a_busy_one_however_many_there_are(grown: Settings) -> None:
    busy = replace(SHAPE, busy_calls=40)

    added = [(await grow(grown, tenants_now, busy, chunk=CHUNK))["llm_calls"] for tenants_now in (2, 2, 3)]

    assert added == [10 + 40, 0, 5]
    of_first, ended, (days,) = await asked(
        grown,
        select(llm_calls.c.tenant_id, tenants.c.slug)
        .join(tenants, tenants.c.id == llm_calls.c.tenant_id)
        .where(llm_calls.c.request_id.like("growth-busy-%"))
        .distinct(),
        select(llm_calls.c.success, llm_calls.c.cached, func.count())
        .where(llm_calls.c.request_id.like("growth-busy-%"))
        .group_by(llm_calls.c.success, llm_calls.c.cached)
        .order_by(llm_calls.c.success, llm_calls.c.cached),
        select(func.sum(llm_usage_days.c.calls)),
    )
    assert [row.slug for row in of_first] == [slug(1)]
    assert [tuple(row) for row in ended] == [(False, False, 10), (True, False, 20), (True, True, 10)]
    assert int(days[0]) == 40 + 3 * 5


async def test_seats_and_uses_are_counted_as_activation_counts_them(grown: Settings) -> None:
    await grow(grown, TENANTS, SHAPE, chunk=CHUNK)

    is_seated = case((devices.c.is_revoked, 0), else_=1)
    seats, seated, uses, bound = await asked(
        grown,
        select(subscriptions.c.tenant_id, subscriptions.c.seats_used, subscriptions.c.state).where(
            subscriptions.c.ended_at.is_(None)
        ),
        select(devices.c.tenant_id, func.sum(is_seated)).group_by(devices.c.tenant_id),
        select(activation_codes.c.id, activation_codes.c.use_count, activation_codes.c.max_uses),
        select(devices.c.activation_code_id, func.count()).group_by(devices.c.activation_code_id),
    )
    devices_of = {tenant_id: int(count) for tenant_id, count in seated}
    assert {row.tenant_id: row.seats_used for row in seats} == {
        row.tenant_id: devices_of[row.tenant_id] for row in seats
    }
    assert 0 < len(seats) < TENANTS
    assert {"active", "past_due"} < {row.state for row in seats}
    assert sum(devices_of.values()) < 10 * TENANTS
    assert {row.id: row.use_count for row in uses if row.use_count} == dict(map(tuple, bound))
    assert all(row.use_count <= row.max_uses for row in uses)
    assert {row.use_count == row.max_uses for row in uses} == {True, False}
