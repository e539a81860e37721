"""The figures of the dashboard and of the analytics page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from app.api_document import DATABASE_ERRORS
from app.callers import operator
from app.context import Context
from app.permissions import Permission
from app.services.operators import analytics as analysis
from app.services.operators import dashboard
from app.services.operators.analytics import DateRange
from blueprints.admin_api import api
from blueprints.fields import NO_NUL, CamelAnswer, RequestModel

READER = operator(Permission.DASHBOARD_READ)


class Trend(CamelAnswer):
    """How far something moved, in percent, and which way."""

    value: float
    direction: str


class Trends(CamelAnswer):
    """The last seven days, today among them, against the seven before."""

    codes: Trend
    devices: Trend
    projects: Trend
    tenants: Trend
    success_rate: Trend


class DashboardStats(CamelAnswer):
    """What there is at this moment."""

    total_codes: int
    active_codes: int
    expired_codes: int
    revoked_codes: int
    total_devices: int
    active_devices: int
    revoked_devices: int
    total_projects: int
    active_projects: int
    total_tenants: int
    active_tenants: int
    success_rate: float
    trends: Trends


class Activity(CamelAnswer):
    """One line of the feed; ``icon`` and ``backdrop`` are shown as they are."""

    type: str
    icon: str
    action: str
    tenant: str
    timestamp: datetime
    backdrop: str
    severity: str
    metadata: dict[str, Any]


class RecentActivities(CamelAnswer):
    """The feed, newest first."""

    activities: list[Activity]


class TrendDay(CamelAnswer):
    """What was created on one day."""

    date: str
    codes: int
    projects: int
    devices: int


class ActivationTrend(CamelAnswer):
    """One entry for each day, today's at the end."""

    trend: list[TrendDay]


class ProjectCounts(CamelAnswer):
    """Projects that are active, and all."""

    active: int
    total: int


class DeviceCounts(CamelAnswer):
    """Devices that hold a seat, that were revoked, and all."""

    active: int
    revoked: int
    total: int


class Distribution(CamelAnswer):
    """Projects beside devices."""

    projects: ProjectCounts
    devices: DeviceCounts


class CreatedOnDay(CamelAnswer):
    """What was created on one day, whether or not it was revoked since."""

    date: str
    codes: int
    devices: int


class TenantUsage(CamelAnswer):
    """A tenant with an active subscription: its devices and its plan's quota."""

    tenant: str
    usage: int
    quota: int


class PlanShare(CamelAnswer):
    """How many active subscriptions hold a plan."""

    name: str
    value: int
    color: str


class SummaryStats(CamelAnswer):
    """Figures of the whole installation, the rates in percent."""

    total_revenue: int
    avg_usage_rate: float
    retention_rate: float


class Analytics(CamelAnswer):
    """Everything the analytics page shows."""

    activation_trend: list[CreatedOnDay]
    tenant_usage: list[TenantUsage]
    subscription_distribution: list[PlanShare]
    summary_stats: SummaryStats


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


@api.operation("GET", "/dashboard-stats", caller=READER, answers=DashboardStats, errors=DATABASE_ERRORS)
async def dashboard_stats(ctx: Context) -> DashboardStats:
    """Counts of codes, devices and tenants, and how they moved.

    A trend compares the last seven days of the installation's time zone, today among them, with the seven before.
    """
    return DashboardStats.model_validate(await dashboard.dashboard_stats(ctx))


@api.operation(
    "GET",
    "/recent-activities",
    caller=READER,
    query=ActivitiesQuery,
    answers=RecentActivities,
    errors=DATABASE_ERRORS,
)
async def recent_activities(ctx: Context, query: ActivitiesQuery) -> RecentActivities:
    """The newest events, at most 20."""
    found = await dashboard.recent_activities(ctx, query.days)
    return RecentActivities(activities=[Activity.model_validate(activity) for activity in found])


@api.operation(
    "GET", "/activation-trend", caller=READER, query=TrendQuery, answers=ActivationTrend, errors=DATABASE_ERRORS
)
async def activation_trend(ctx: Context, query: TrendQuery) -> ActivationTrend:
    """Codes, projects and devices by the day of their creation, today and so many days before it."""
    found = await dashboard.activation_trend(ctx, query.days)
    return ActivationTrend(trend=[TrendDay.model_validate(day) for day in found])


@api.operation("GET", "/project-device-distribution", caller=READER, answers=Distribution, errors=DATABASE_ERRORS)
async def project_device_distribution(ctx: Context) -> Distribution:
    """How many projects and devices there are."""
    return Distribution.model_validate(await dashboard.distribution(ctx))


@api.operation("GET", "/analytics", caller=READER, query=AnalyticsQuery, answers=Analytics, errors=DATABASE_ERRORS)
async def analytics(ctx: Context, query: AnalyticsQuery) -> Analytics:
    """What was created by day, the ten tenants with the most devices, the plans that are held, and rates.

    A filter that finds no project leaves no tenant. In a large installation the retention rate may be some minutes
    old; every other figure is exact.
    """
    return Analytics.model_validate(await analysis.analytics(ctx, query.date_range, query.project_filter))
