"""The overview of models: every figure is what counting the log would give, with one statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.admin import as_operator
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.llm_usage import USD, answered, learn, log_call, set_settings
from support.rows import rows
from support.statements import counted_statements

from app.services.upkeep.statistics import fold_statistics
from sql.tables import llm_usage_changes

PROVIDERS = {"gemini": "gemini-2.5-flash", "openai": "gpt-4o", "anthropic": "claude-3-5-sonnet-20250219"}


def nothing_of(model: str) -> dict[str, Any]:
    return {"calls": 0, "total_cost": 0.0, "cost": 0.0, "avg_cost": 0.0, "model": model, "models": {}}


async def test_before_any_call_the_figures_are_zero_and_the_models_those_configured(
    sanic_client: LiveServer,
) -> None:
    stats = await answered(sanic_client, "stats")

    chart = stats.pop("dailyCosts")
    assert stats == {
        "totalCalls": 0,
        "totalCost": 0.0,
        "budgetUsed": 0.0,
        "monthlyBudget": 1000.0,
        "avgResponseTime": 0.0,
        "successRate": 0.0,
        "providerBreakdown": {provider: nothing_of(model) for provider, model in PROVIDERS.items()},
        "templateStats": {"total": 0, "uses": 0, "saved": 0.0},
        "alerts": [],
    }
    today = sanic_client.ctx.today()
    assert chart == [{"date": (today - timedelta(days=ago)).isoformat(), "cost": 0.0} for ago in range(29, -1, -1)]


async def test_the_month_is_summed_by_provider_and_model_folded_or_not(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    await log_call(live, cost=123_456_789, duration_ms=1500)
    await log_call(live, cost=2 * USD, duration_ms=500, model="gpt-5-mini")
    await log_call(live, cost=USD, duration_ms=1000, model="gpt-5-mini")
    await log_call(live, provider="gemini", model="gemini-2.5-pro", cost=0, success=False, duration_ms=0)
    await log_call(live, provider="mistral", model="large", cost=7, duration_ms=0)
    await learn(live, "List", usage_count=3, cost_saved=1_560_000_000)
    await learn(live, "Form")

    before = await answered(live, "stats", headers)
    await fold_statistics(live.ctx)
    assert await rows(live, llm_usage_changes.select()) == []
    # After the fold there are sums of both kinds.
    await log_call(live, provider="gemini", model="gemini-2.5-flash", cost=0, cached=True, duration_ms=0)
    after = await answered(live, "stats", headers)

    assert (before["totalCalls"], before["totalCost"], before["budgetUsed"]) == (5, 3.123456796, 3.123456796)
    assert (before["avgResponseTime"], before["successRate"]) == (0.6, 80.0)
    assert before["templateStats"] == after["templateStats"] == {"total": 2, "uses": 3, "saved": 1.56}
    assert before["dailyCosts"][-1] == after["dailyCosts"][-1]
    assert before["dailyCosts"][-1]["cost"] == 3.123456796
    openai = {
        "calls": 3,
        "total_cost": 3.123456789,
        "cost": 3.123456789,
        "avg_cost": pytest.approx(1.041152263),
        "model": "gpt-5-mini",
        "models": {
            "gpt-4o": {"calls": 1, "total_cost": 0.123456789},
            "gpt-5-mini": {"calls": 2, "total_cost": 3.0},
        },
    }
    assert list(before["providerBreakdown"]) == [*PROVIDERS, "mistral"]
    assert before["providerBreakdown"]["openai"] == after["providerBreakdown"]["openai"] == openai
    assert before["providerBreakdown"]["anthropic"] == nothing_of(PROVIDERS["anthropic"])
    assert before["providerBreakdown"]["mistral"]["models"] == {"large": {"calls": 1, "total_cost": 7e-9}}
    assert (after["totalCalls"], after["avgResponseTime"]) == (6, 0.5)
    assert after["providerBreakdown"]["gemini"]["models"] == {
        "gemini-2.5-flash": {"calls": 1, "total_cost": 0.0},
        "gemini-2.5-pro": {"calls": 1, "total_cost": 0.0},
    }


async def test_what_an_operator_has_set_comes_before_the_defaults(sanic_client: LiveServer) -> None:
    await set_settings(sanic_client, monthly_budget=USD // 4, gemini_model="gemini-3-pro")

    stats = await answered(sanic_client, "stats")

    assert stats["monthlyBudget"] == 0.25
    assert stats["providerBreakdown"]["gemini"]["model"] == "gemini-3-pro"


async def test_days_and_months_are_those_where_the_installation_stands(
    database: str, tmp_path: Path, clock: MovableClock
) -> None:
    """Kathmandu is five hours and three quarters ahead: midnight there is 18:15 in UTC."""
    async with live_server(settings_for(database, tmp_path, time_zone="Asia/Kathmandu"), clock) as live:
        midnight = datetime(2027, 3, 1, tzinfo=live.runtime.zone).astimezone(UTC)
        assert (midnight.day, midnight.hour, midnight.minute) == (28, 18, 15)
        clock.move(seconds=(midnight + timedelta(minutes=30) - clock.now()).total_seconds())
        headers = await as_operator(live, "read_only")
        await log_call(live, midnight - timedelta(seconds=1), cost=5 * USD)
        await log_call(live, midnight, cost=3 * USD)
        await log_call(live, midnight - timedelta(days=28), cost=2 * USD)
        await log_call(live, midnight - timedelta(days=29, seconds=1), cost=USD)

        for _ in range(2):
            stats = await answered(live, "stats", headers)
            assert (stats["totalCalls"], stats["totalCost"]) == (1, 3.0)
            chart = {day["date"]: day["cost"] for day in stats["dailyCosts"]}
            assert (len(chart), min(chart), max(chart)) == (30, "2027-01-31", "2027-03-01")
            costs = {day: cost for day, cost in chart.items() if cost}
            assert costs == {"2027-03-01": 3.0, "2027-02-28": 5.0, "2027-02-01": 2.0}
            logs = await answered(live, "logs", headers, range="today")
            assert [call["cost"] for call in logs["logs"]] == [3.0]
            await fold_statistics(live.ctx)


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (79_999_999_999, None),
        (80_000_000_000, ("budget_80", "warning")),
        (94_999_999_999, ("budget_80", "warning")),
        (95_000_000_000, ("budget_95", "critical")),
        (100_000_000_000, ("budget_100", "critical")),
        (250_000_000_000, ("budget_100", "critical")),
    ],
)
async def test_at_most_one_alert_says_how_far_the_budget_is_used(
    sanic_client: LiveServer, cost: int, shown: tuple[str, str] | None
) -> None:
    await set_settings(sanic_client, monthly_budget=100 * USD)
    await log_call(sanic_client, cost=cost)

    alerts = (await answered(sanic_client, "stats"))["alerts"]

    assert [(alert["id"], alert["level"]) for alert in alerts] == ([shown] if shown else [])
    assert all(set(alert) == {"id", "level", "message", "timestamp"} for alert in alerts)


async def test_a_budget_of_nothing_raises_no_alert(sanic_client: LiveServer) -> None:
    await set_settings(sanic_client, monthly_budget=0)
    await log_call(sanic_client)

    assert (await answered(sanic_client, "stats"))["alerts"] == []


async def test_the_figures_are_one_statement_whatever_there_is(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    for models in (0, 3, 20):
        for number in range(models):
            await log_call(sanic_client, model=f"model {number}")
            await learn(sanic_client, f"Template {number}")
        with counted_statements(sanic_client.runtime.db) as seen:
            await answered(sanic_client, "stats", headers)
        # One of them finds the token.
        assert len(seen) == 2, seen
