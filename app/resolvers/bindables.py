"""All that is bound to the schema, and the record behind each of its types."""

from __future__ import annotations

from typing import Any, Final

from ariadne import SchemaBindable

from app.resolvers import agents, connections, dashboard, projects, scalars, subscriptions, tasks
from app.resolvers.connections import PageInfo
from app.resolvers.problems import Problem
from app.services.progress.figures import Dashboard, Metrics
from app.services.progress.records import Activity, AgentProgress, ProjectProgress, TaskProgress

BINDABLES: Final[tuple[SchemaBindable, ...]] = (
    scalars.date_time,
    scalars.day,
    scalars.long,
    agents.agent_types,
    agents.query,
    connections.connection,
    dashboard.query,
    dashboard.stats,
    projects.mutation,
    projects.project,
    projects.project_statuses,
    projects.query,
    subscriptions.subscription,
    tasks.mutation,
    tasks.query,
    tasks.task,
    tasks.task_statuses,
)

# Where a field has no resolver, it is an attribute of its type's record.
RECORDS: Final[dict[str, type[Any]]] = {
    "Agent": AgentProgress,
    "AgentActivity": Activity,
    "DashboardStats": Dashboard,
    "PageInfo": PageInfo,
    "Problem": Problem,
    "Project": ProjectProgress,
    "SystemMetrics": Metrics,
    "Task": TaskProgress,
}
