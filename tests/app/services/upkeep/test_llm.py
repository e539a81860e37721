"""What models have cost by day: equal to the log, folded or not, and kept when old rows of the log go."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update
from structlog.testing import capture_logs
from support.clocks import MovableClock
from support.live import LiveServer
from support.llm_usage import call_row, learn, log_call, log_calls
from support.rows import change, rows
from support.statements import counted_statements

from app.calendar import months_later
from app.database import removal
from app.services.upkeep import folds
from app.services.upkeep.llm import check_days, fold_days, remove_calls
from app.services.upkeep.statistics import check_statistics, fold_statistics
from app.services.upkeep.usage import apply_retention
from sql.tables import learned_templates, llm_calls, llm_usage_changes, llm_usage_days

Sums = dict[tuple[Any, ...], tuple[int, ...]]
KEY = ("day", "provider", "model")
AMOUNTS = ("input_tokens", "output_tokens", "cost", "duration_ms")


async def logged(live: LiveServer) -> Sums:
    """What the rows of the log come to by day and model."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in await rows(live, llm_calls.select()):
        key = (row.day, row.provider, row.model)
        parts = {"calls": 1, "successes": row.success, "cached": row.cached}
        for name, value in {**parts, **{name: getattr(row, name) for name in AMOUNTS}}.items():
            sums[*key, name] += int(value)
    return {key: tuple(sums[*key, name] for name in names()) for key in {key[:3] for key in sums}}


def names() -> tuple[str, ...]:
    return ("calls", "successes", "cached", *AMOUNTS)


async def kept(live: LiveServer) -> Sums:
    """What the days and the changes that are not folded come to."""
    sums: Counter[tuple[Any, ...]] = Counter()
    found = [row for table in (llm_usage_days, llm_usage_changes) for row in await rows(live, table.select())]
    for row in found:
        for name in names():
            sums[row.day, row.provider, row.model, name] += getattr(row, name)
    return {key: tuple(sums[*key, name] for name in names()) for key in {key[:3] for key in sums}}


async def test_the_sums_are_exact_while_calls_are_logged_and_changes_are_folded(sanic_client: LiveServer) -> None:
    live, chance = sanic_client, random.Random(11)
    now = live.ctx.now()

    def any_call() -> dict[str, Any]:
        return call_row(
            live,
            now - timedelta(hours=chance.randint(0, 60)),
            provider=chance.choice(["openai", "gemini"]),
            model=chance.choice(["small", "large"]),
            success=chance.random() < 0.8,
            cached=chance.random() < 0.2,
            cost=chance.randint(0, 10**12),
            input_tokens=chance.randint(10, 10**6),
            duration_ms=chance.randint(0, 10**5),
        )

    async def fold_on() -> None:
        for _ in range(8):
            await asyncio.gather(fold_days(live.ctx), fold_days(live.ctx))
            assert (await check_statistics(live.ctx))["llm_usage_differences"] == 0

    await asyncio.gather(
        *(log_calls(live, *(any_call() for _ in range(chance.randint(1, 5)))) for _ in range(60)), fold_on()
    )

    expected = await logged(live)
    assert len(expected) > 4
    assert await kept(live) == expected
    await fold_statistics(live.ctx)
    assert await rows(live, llm_usage_changes.select()) == []
    assert await kept(live) == expected
    assert await check_days(live.ctx) == 0


async def test_what_is_rolled_back_was_never_counted(sanic_client: LiveServer) -> None:
    async def log_and_fail() -> None:
        async with sanic_client.ctx.write() as conn:
            await conn.insert_all(insert(llm_calls), [call_row(sanic_client)])
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        await log_and_fail()

    assert await kept(sanic_client) == {}


async def test_very_many_changes_are_folded_some_at_a_time(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await log_call(sanic_client, cost=number)
    monkeypatch.setattr(folds, "CHANGES_AT_ONCE", 2)

    with counted_statements(sanic_client.runtime.db) as seen:
        folded = [await fold_days(sanic_client.ctx) for _ in range(2)]

    assert folded == [5, 0]
    # Three times two changes and their sums, then a look.
    assert len(seen) == 7
    (day,) = await rows(sanic_client, llm_usage_days.select())
    assert (day.calls, day.cost) == (5, 10)


@pytest.mark.parametrize("column", ["calls", "successes", "cached", *AMOUNTS])
async def test_of_a_day_that_is_wrong_the_log_says_by_how_much(sanic_client: LiveServer, column: str) -> None:
    await log_call(sanic_client, sanic_client.ctx.now() - timedelta(days=3))
    await log_call(sanic_client, cached=True)
    await fold_days(sanic_client.ctx)
    today = sanic_client.ctx.today()
    wrong = update(llm_usage_days).where(llm_usage_days.c.day == today)
    await change(sanic_client, wrong.values({column: llm_usage_days.c[column] + 4}))

    with capture_logs() as entries:
        found = await check_statistics(sanic_client.ctx)

    assert found == {"differences": 0, "llm_usage_differences": 1}
    where = {"day": today.isoformat(), "provider": "openai", "model": "gpt-4o"}
    expected = {"event": "llm_usage_day_differs", "log_level": "error", **where, **dict.fromkeys(names(), 0), column: 4}
    assert entries == [expected]


async def test_a_row_that_disappears_from_a_kept_day_is_noticed(sanic_client: LiveServer) -> None:
    await log_call(sanic_client, sanic_client.ctx.now() - timedelta(days=2))
    lost = call_row(sanic_client)
    await log_calls(sanic_client, lost)
    await change(sanic_client, delete(llm_calls).where(llm_calls.c.request_id == lost["request_id"]))

    assert await check_days(sanic_client.ctx) == 1


async def test_old_calls_go_some_at_a_time_and_their_sums_stay(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = sanic_client
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)
    months = live.runtime.settings.llm_log_retention_months
    first_kept = months_later(live.ctx.month().first_day, -months)
    noon = clock.now().replace(hour=12)
    ages = [(noon.date() - first_kept).days + past for past in (-1, 0, 1, 2, 40, 400)]
    await log_calls(live, *(call_row(live, noon - timedelta(days=age), cost=age) for age in ages))
    expected = await kept(live)

    removed = await apply_retention(live.ctx)

    assert (months, removed["llm_calls"]) == (6, 4)
    assert [row.cost for row in await rows(live, llm_calls.select().order_by(llm_calls.c.cost))] == ages[:2]
    assert await kept(live) == expected
    assert len(expected) == 6
    assert await remove_calls(live.ctx) == 0
    # Days without rows any more are not compared, also when more months are kept from now on.
    monkeypatch.setattr(
        live.runtime, "settings", live.runtime.settings.model_copy(update={"llm_log_retention_months": 24})
    )
    assert await check_days(live.ctx) == 0


async def test_what_is_removed_is_removed_in_pieces(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)
    old = sanic_client.ctx.now() - timedelta(days=300)
    await log_calls(sanic_client, *(call_row(sanic_client, old) for _ in range(5)))

    with counted_statements(sanic_client.runtime.db) as seen:
        removed = await remove_calls(sanic_client.ctx)

    assert (removed, len(seen)) == (5, 3)


async def test_the_figures_of_templates_are_what_counting_gives(sanic_client: LiveServer) -> None:
    live = sanic_client
    ids = [await learn(live, f"{number}", usage_count=number, cost_saved=number * 10**9) for number in range(5)]
    await fold_statistics(live.ctx)
    await change(live, update(learned_templates).values(usage_count=learned_templates.c.usage_count + 1))
    await change(live, delete(learned_templates).where(learned_templates.c.template_id == ids[3]))

    assert (await check_statistics(live.ctx))["differences"] == 0
    await fold_statistics(live.ctx)
    assert (await check_statistics(live.ctx))["differences"] == 0
    counted = select(func.count(), func.sum(learned_templates.c.usage_count))
    assert [tuple(map(int, row)) for row in await rows(live, counted)] == [(4, 11)]
