"""The overview of models: what the running month has cost, how they answered, and what templates have saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from app.context import Context
from app.contract.camel import AS_NAMED, CAMEL
from app.money import Nanos, to_usd
from app.services.llm.budget_alerts import LEVELS, reached
from app.services.llm.system_settings import defaults_of
from sql.statements import llm_usage
from sql.tables.projects import PROVIDERS

# Of the levels that are reached, the highest of these is shown.
SHOWN_LEVELS: Final = (80, 95, 100)
CHART_DAYS: Final = 30


class Part(NamedTuple):
    """Sums of a model's month or, where ``day`` is not null, of a day; beside them settings and sums of templates.

    Money is in 1e-9 USD.
    """

    monthly_budget: int
    gemini_model: str
    openai_model: str
    anthropic_model: str
    templates_created: int
    templates_uses: int
    templates_saved: int
    day: date | None
    provider: str | None
    model: str | None
    calls: int | None
    successes: int | None
    cost: int | None
    duration_ms: int | None


class Sums(NamedTuple):
    """What calls come to."""

    calls: int
    successes: int
    cost: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """A model's month."""

    __pydantic_config__ = AS_NAMED
    calls: int
    total_cost: Nanos


@dataclass(frozen=True, slots=True)
class ProviderUsage:
    """A provider's month; ``model`` is the one with the most calls, or the configured one where there are none."""

    __pydantic_config__ = AS_NAMED
    calls: int
    total_cost: Nanos
    cost: Nanos
    avg_cost: float
    model: str
    models: dict[str, ModelUsage]


class NamedModel(NamedTuple):
    """A model's month with its name; the cost is in 1e-9 USD."""

    model: str
    calls: int
    total_cost: int


class NamedProvider(NamedTuple):
    """A provider's month with its name, and that of its models; the cost is in 1e-9 USD."""

    provider: str
    calls: int
    total_cost: int
    model: str
    models: list[NamedModel]


@dataclass(frozen=True, slots=True)
class DayCost:
    """What a day has cost."""

    __pydantic_config__ = AS_NAMED
    date: str
    cost: Nanos


@dataclass(frozen=True, slots=True)
class TemplateSums:
    """How many templates there are, how often they were used, and what that has saved."""

    __pydantic_config__ = AS_NAMED
    total: int
    uses: int
    saved: Nanos


@dataclass(frozen=True, slots=True)
class BudgetLevel:
    """How far the monthly budget is used."""

    __pydantic_config__ = AS_NAMED
    id: str
    level: str
    message: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows; the rate in percent, the time in seconds. Money is in 1e-9 USD, and told in USD."""

    __pydantic_config__ = CAMEL
    total_calls: int
    total_cost: Nanos
    budget_used: Nanos
    monthly_budget: Nanos
    avg_response_time: float
    success_rate: float
    provider_breakdown: dict[str, ProviderUsage]
    daily_costs: list[DayCost]
    template_stats: TemplateSums
    alerts: list[BudgetLevel]

    @property
    def providers(self) -> list[NamedProvider]:
        """The breakdown as a list."""
        return [
            NamedProvider(
                provider,
                usage.calls,
                usage.total_cost,
                usage.model,
                [NamedModel(model, of.calls, of.total_cost) for model, of in usage.models.items()],
            )
            for provider, usage in self.provider_breakdown.items()
        ]


async def overview(ctx: Context) -> Overview:
    """The figures of the page, exact, with one statement; days and months are those of the installation's time zone."""
    today, month = ctx.today(), ctx.month().first_day
    first_shown = today - timedelta(days=CHART_DAYS - 1)
    defaults = defaults_of("monthly_budget", *(f"{provider}_model" for provider in PROVIDERS))
    async with ctx.read() as conn:
        parts = await conn.many(llm_usage.statistics, Part, first_day=min(first_shown, month), month=month, **defaults)
    head = parts[0]
    models = {(part.provider, part.model or ""): _sums(part) for part in parts if part.provider and part.day is None}
    days = {part.day: part.cost or 0 for part in parts if part.day is not None}
    total = _together(models.values())
    return Overview(
        total_calls=total.calls,
        total_cost=total.cost,
        budget_used=total.cost,
        monthly_budget=head.monthly_budget,
        avg_response_time=total.duration_ms / total.calls / 1000 if total.calls else 0.0,
        success_rate=100 * total.successes / total.calls if total.calls else 0.0,
        provider_breakdown=_providers(head, models),
        daily_costs=[
            DayCost(day.isoformat(), days.get(day, 0))
            for day in (first_shown + timedelta(days=ahead) for ahead in range(CHART_DAYS))
        ],
        template_stats=TemplateSums(head.templates_created, head.templates_uses, head.templates_saved),
        alerts=_alerts(total.cost, head.monthly_budget, ctx.now()),
    )


def _sums(part: Part) -> Sums:
    return Sums(part.calls or 0, part.successes or 0, part.cost or 0, part.duration_ms or 0)


def _together(sums: Collection[Sums]) -> Sums:
    return Sums(
        calls=sum(each.calls for each in sums),
        successes=sum(each.successes for each in sums),
        cost=sum(each.cost for each in sums),
        duration_ms=sum(each.duration_ms for each in sums),
    )


def _providers(head: Part, models: dict[tuple[str, str], Sums]) -> dict[str, ProviderUsage]:
    """Each provider's month: those that can be configured, and any other that was called."""
    by_provider: defaultdict[str, dict[str, Sums]] = defaultdict(dict)
    for (provider, model), sums in sorted(models.items()):
        by_provider[provider][model] = sums
    configured = {provider: getattr(head, f"{provider}_model") for provider in PROVIDERS}
    return {
        provider: _provider(by_provider[provider], configured.get(provider, ""))
        for provider in (*PROVIDERS, *(name for name in list(by_provider) if name not in configured))
    }


def _provider(models: dict[str, Sums], configured: str) -> ProviderUsage:
    total = _together(models.values())
    return ProviderUsage(
        calls=total.calls,
        total_cost=total.cost,
        cost=total.cost,
        avg_cost=to_usd(total.cost) / total.calls if total.calls else 0.0,
        model=max(models, key=lambda model: models[model].calls, default=configured),
        models={model: ModelUsage(sums.calls, sums.cost) for model, sums in models.items()},
    )


def _alerts(cost: int, budget: int, now: datetime) -> list[BudgetLevel]:
    """The highest level that is reached, if there is one."""
    level = max((level for level in reached(cost, budget) if level in SHOWN_LEVELS), default=None)
    if level is None:
        return []
    message = f"{level} % of the monthly budget is spent: {to_usd(cost):,.2f} of {to_usd(budget):,.2f} USD"
    return [BudgetLevel(f"budget_{level}", LEVELS[level], message, now)]
