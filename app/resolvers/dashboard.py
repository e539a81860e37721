"""What all projects and tasks come to."""

from __future__ import annotations

from typing import Any

from ariadne import ObjectType, QueryType

from app.resolvers.context import Info
from app.services.progress import figures
from app.services.progress.figures import Dashboard, Metrics
from app.services.progress.records import Activity

query = QueryType()
stats = ObjectType("DashboardStats")


@query.field("dashboardStats")
async def resolve_dashboard_stats(_: Any, info: Info) -> Dashboard:
    """What it all comes to."""
    return await figures.dashboard(info.context.ctx)


@query.field("systemMetrics")
async def resolve_system_metrics(_: Any, info: Info) -> Metrics:
    """How agents and this host get on."""
    return await figures.system_metrics(info.context.ctx)


@stats.field("recentActivities")
async def resolve_recent_activities(of: Dashboard, info: Info) -> list[Activity]:
    """The tasks that were completed last."""
    return await figures.recent_activities(info.context.ctx)
