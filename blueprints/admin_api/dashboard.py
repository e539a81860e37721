"""The figures of the dashboard and of the analytics page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import CAMEL
from app.services.reports import analytics as analysis
from app.services.reports import dashboard
from app.services.reports.analytics import Analytics, DateRange
from app.services.reports.dashboard import Activity, DashboardStats, Distribution, TrendDay
from blueprints.admin_api import api
from blueprints.web.fields import NO_NUL, RequestModel

READER = operator(Permission.DASHBOARD_READ)


@dataclass(frozen=True, slots=True)
class RecentActivities:
    """The feed, newest first."""

    __pydantic_config__ = CAMEL
    activities: list[Activity]


@dataclass(frozen=True, slots=True)
class ActivationTrend:
    """One entry for each day, today's at the end."""

    __pydantic_config__ = CAMEL
    trend: list[TrendDay]


class ActivitiesQuery(RequestModel):
    """How far back the feed goes."""

    days: Annotated[int, Field(ge=1, le=90, description="None is older than so many days.")] = 7


class TrendQuery(RequestModel):
    """How far back the chart goes."""

    days: Annotated[int, Field(ge=7, le=365, description="Days before today.")] = 30


class AnalyticsQuery(RequestModel):
    """Which days are shown, and which projects."""

    date_range: Annotated[DateRange, Field(description="The first day of the chart is so long ago.")] = "7d"
    project_filter: Annotated[
        str | None,
        Field(max_length=200, pattern=NO_NUL, description="`latest`, `top10` or `project:<id>`; anything else: all."),
    ] = None


@api.operation("GET", "/dashboard-stats", caller=READER, answers=DashboardStats)
async def dashboard_stats(ctx: Context) -> DashboardStats:
    """Counts of codes, devices, projects and tenants, and how they moved.

    A trend compares the last seven days of the installation's time zone, today among them, with the seven before.
    """
    return await dashboard.dashboard_stats(ctx)


@api.operation(
    "GET",
    "/recent-activities",
    caller=READER,
    query=ActivitiesQuery,
    answers=RecentActivities,
)
async def recent_activities(ctx: Context, query: ActivitiesQuery) -> RecentActivities:
    """The newest events, at most 20."""
    return RecentActivities(await dashboard.recent_activities(ctx, query.days))


@api.operation("GET", "/activation-trend", caller=READER, query=TrendQuery, answers=ActivationTrend)
async def activation_trend(ctx: Context, query: TrendQuery) -> ActivationTrend:
    """Codes, projects and devices by the day of their creation, today and so many days before it."""
    return ActivationTrend(await dashboard.activation_trend(ctx, query.days))


@api.operation("GET", "/project-device-distribution", caller=READER, answers=Distribution)
async def project_device_distribution(ctx: Context) -> Distribution:
    """How many projects and devices there are."""
    return await dashboard.distribution(ctx)


@api.operation("GET", "/analytics", caller=READER, query=AnalyticsQuery, answers=Analytics)
async def analytics(ctx: Context, query: AnalyticsQuery) -> Analytics:
    """What was created by day, the ten tenants with the most devices, the plans that are held, and rates.

    With a filter, tenants are shown by how many of its projects they have; one that finds no project leaves no tenant.
    In a large installation the retention rate may be some minutes old; every other figure is exact.
    """
    return await analysis.analytics(ctx, query.date_range, query.project_filter)
