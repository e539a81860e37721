"""Alerts about budgets: which levels are reached, and raising each once for its period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.money import to_usd
from app.services.llm.system_settings import defaults_of
from sql.statements import llm_alerts, llm_usage

# In percent of the budget.
LEVELS: Final = {50: "info", 70: "info", 80: "warning", 90: "warning", 95: "critical", 100: "critical"}


class Spent(NamedTuple):
    """The system's budgets beside what was spent in the running month and on the running day, in 1e-9 USD."""

    monthly_budget: int
    daily_budget: int
    month_cost: int
    day_cost: int


def reached(cost: int, budget: int) -> list[int]:
    """The levels that a cost has reached, in percent; none of a budget of zero, or while nothing is spent."""
    return [level for level in LEVELS if budget > 0 and 0 < level * budget <= 100 * cost]


async def raise_budget_alerts(ctx: Context) -> Mapping[str, object]:
    """Write an alert for each level that the system's spending has reached, once in each month or on each day."""
    today, first_day = ctx.today(), ctx.month().first_day
    defaults = defaults_of("monthly_budget", "daily_budget")
    async with ctx.read() as conn:
        spent = await conn.one(llm_usage.spent, Spent, first_day=first_day, today=today, **defaults)
    alerts = [
        *_alerts("monthly", f"{today:%Y-%m}", spent.month_cost, spent.monthly_budget),
        *_alerts("daily", f"{today:%Y-%m-%d}", spent.day_cost, spent.daily_budget),
    ]
    raised: list[int] = []
    if alerts:
        now = ctx.now()
        batch = as_batch([{**alert, "place": place, "created_at": now} for place, alert in enumerate(alerts)])
        async with ctx.write_autocommit() as conn:
            raised = await conn.many(llm_alerts.raise_alerts, int, batch=batch)
    return {"raised": len(raised)}


def _alerts(budget_name: str, period: str, cost: int, budget: int) -> Iterator[dict[str, Any]]:
    for level in reached(cost, budget):
        yield {
            "key": f"system:{budget_name}:{period}:{level}",
            "type": "budget",
            "level": LEVELS[level],
            "message": f"{level} % of the {budget_name} budget is spent",
            "details": f"In {period} models have cost {to_usd(cost):,.2f} of {to_usd(budget):,.2f} USD.",
        }
