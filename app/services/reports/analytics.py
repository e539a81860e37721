"""The analytics page: who uses how much, which plans are held, and how many stay."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

from app.context import Context
from app.contract.camel import CAMEL
from app.database.connections import ReadConnection
from app.money import in_currency
from app.runtime import Runtime
from app.services.billing.plans import Plan
from app.services.figures.sums import ALL_TIME, current_subscriptions, read_figures, revenue
from app.services.reports.dashboard import codes_and_devices_by_day, percentage
from sql.statements import billing, statistics

DateRange = Literal["today", "7d", "30d", "90d", "1y"]
DAYS: Final[dict[str, int]] = {"today": 0, "7d": 7, "30d": 30, "90d": 90, "1y": 365}
MAX_TENANTS: Final = 10
# How many of the newest projects a filter means, and what stands before the id of one.
NEWEST: Final = {"latest": 1, "top10": 10}
NAMED: Final = "project:"
STAYS: Final = timedelta(days=30)
COLOURS: Final = {"starter": "#4CAF50", "pro": "#9B59B6", "enterprise": "#FF6B9D"}
OTHER_COLOUR: Final = "#6B7280"
# Counting the tenants that stay looks at every device of a month. While that is quick it is done each time; where it
# is not, the number is used again for a hundred times as long as it took, and for five minutes at most.
QUICK_SECONDS: Final = 0.01
USED_AGAIN: Final = 100
MAX_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class CreatedOnDay:
    """What was created on one day, whether or not it was revoked since."""

    __pydantic_config__ = CAMEL
    date: str
    codes: int
    devices: int


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """A tenant with an active subscription: its devices, or its chosen projects, and its plan's quota."""

    __pydantic_config__ = CAMEL
    tenant: str
    usage: int
    quota: int


@dataclass(frozen=True, slots=True)
class PlanShare:
    """How many active subscriptions hold a plan."""

    __pydantic_config__ = CAMEL
    name: str
    value: int
    color: str


@dataclass(frozen=True, slots=True)
class SummaryStats:
    """Figures of the whole installation, the rates in percent.

    ``total_revenue`` is what tenants have paid and not been given back, in the currency of the installation.
    """

    __pydantic_config__ = CAMEL
    total_revenue: float
    currency: str
    avg_usage_rate: float
    retention_rate: float


@dataclass(frozen=True, slots=True)
class Analytics:
    """Everything the analytics page shows."""

    __pydantic_config__ = CAMEL
    activation_trend: list[CreatedOnDay]
    tenant_usage: list[TenantUsage]
    subscription_distribution: list[PlanShare]
    summary_stats: SummaryStats


class BusyTenant(NamedTuple):
    """A tenant by the seats it uses, or by how many of the chosen projects it has."""

    name: str
    slug: str
    usage: int
    monthly_run_quota: int


@dataclass
class _Remembered:
    tenants: int = 0
    until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


_tenants_with_projects = cache(statistics.tenants_with_projects)
_retained: WeakKeyDictionary[Runtime, _Remembered] = WeakKeyDictionary()


async def analytics(ctx: Context, date_range: DateRange, project_filter: str | None = None) -> Analytics:
    """The figures of the page; with a filter for projects, the tenants that have some of those and how many."""
    trend = await codes_and_devices_by_day(ctx, ctx.today() - timedelta(days=DAYS[date_range]))
    async with ctx.read() as conn:
        figures = await read_figures(conn, [(metric, ALL_TIME) for metric in ("devices_held", "tenants_created")])
        held = await current_subscriptions(conn)
        plans = await conn.many(billing.plans_by_quota, Plan)
        overridden = await conn.one(statistics.overridden_runs, int)
        earned = await revenue(conn)
        busiest = await _busiest(conn, project_filter or "")
    currency = ctx.runtime.settings.billing_currency
    shares = [(plan, held.get((plan.id, "active"), 0)) for plan in plans]
    quota = overridden + sum(plan.monthly_run_quota * count for plan, count in shares)
    return Analytics(
        activation_trend=[CreatedOnDay(*day) for day in trend],
        tenant_usage=[TenantUsage(row.name or row.slug, row.usage, row.monthly_run_quota) for row in busiest],
        subscription_distribution=[
            PlanShare(plan.name, count, COLOURS.get(plan.name.lower(), OTHER_COLOUR)) for plan, count in shares if count
        ],
        summary_stats=SummaryStats(
            total_revenue=in_currency(earned.get(currency, 0), currency),
            currency=currency,
            avg_usage_rate=percentage(figures.of("devices_held"), quota),
            retention_rate=percentage(await _tenants_that_stay(ctx), figures.of("tenants_created")),
        ),
    )


async def _busiest(conn: ReadConnection, project_filter: str) -> list[BusyTenant]:
    """The tenants with the most devices, or with the most of certain projects.

    A filter that is not understood means all tenants; one that finds no project leaves none.
    """
    if (number := NEWEST.get(project_filter)) is not None:
        return await conn.many(_tenants_with_projects("newest"), BusyTenant, max_projects=number)
    if project_filter.startswith(NAMED):
        named = project_filter.removeprefix(NAMED)
        return await conn.many(_tenants_with_projects("named"), BusyTenant, project_id=named)
    return await conn.many(statistics.busiest_tenants, BusyTenant, max_rows=MAX_TENANTS)


async def _tenants_that_stay(ctx: Context) -> int:
    """Tenants with a device of the last 30 days that is not revoked; at size a number that may be minutes old."""
    known = _retained.setdefault(ctx.runtime, _Remembered())
    async with known.turn:
        began = time.monotonic()
        if began >= known.until:
            since = ctx.now() - STAYS
            async with ctx.read() as conn:
                known.tenants = await conn.one(statistics.tenants_with_new_devices, int, since=since)
            took = time.monotonic() - began
            kept = min(USED_AGAIN * took, MAX_SECONDS) if took > QUICK_SECONDS else 0.0
            known.until = time.monotonic() + kept
        return known.tenants
