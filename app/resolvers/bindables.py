"""All that is bound to the schema, and the record behind each of its types."""

from __future__ import annotations

from typing import Any, Final

from ariadne import SchemaBindable

from app.events import StoredEvent
from app.resolvers import (
    agents,
    connections,
    dashboard,
    events,
    ledger,
    llm,
    project_changes,
    projects,
    runs,
    scalars,
    subscriptions,
    tasks,
)
from app.resolvers.connections import Connection, Edge, PageInfo
from app.resolvers.llm import LlmAlertPayload
from app.resolvers.problems import Problem
from app.resolvers.project_changes import DeleteProjectPayload, ProjectPayload
from app.resolvers.runs import RunPayload
from app.services.ledger.standing import Standing
from app.services.llm.alerts import Alert
from app.services.llm.call_list import Call
from app.services.progress.figures import Dashboard, Metrics
from app.services.progress.records import Activity, AgentProgress, ProjectProgress, TaskProgress
from app.services.projects.details import Project
from app.services.reports.model_usage import DayCost, NamedModel, NamedProvider, Overview, TemplateSums
from app.services.runs.records import ListedRun
from app.services.runs.run_events import RunEvent

BINDABLES: Final[tuple[SchemaBindable, ...]] = (
    scalars.date_time,
    scalars.day,
    scalars.long,
    agents.agent_types,
    agents.query,
    connections.connection,
    dashboard.query,
    dashboard.stats,
    events.orders,
    events.query,
    events.severities,
    ledger.levels,
    ledger.periods,
    ledger.query,
    ledger.run,
    ledger.units,
    llm.alert_levels,
    llm.call,
    llm.call_statuses,
    llm.mutation,
    llm.periods,
    llm.query,
    project_changes.mutation,
    project_changes.priorities,
    project_changes.project,
    projects.mutation,
    projects.project,
    projects.project_statuses,
    projects.query,
    runs.event_kinds,
    runs.mutation,
    runs.project,
    runs.query,
    runs.run,
    runs.run_states,
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
    "AuditEvent": StoredEvent,
    "AuditEventConnection": Connection,
    "AuditEventEdge": Edge,
    "DashboardStats": Dashboard,
    "DeleteProjectPayload": DeleteProjectPayload,
    "LedgerAccount": Standing,
    "LedgerAccountConnection": Connection,
    "LedgerAccountEdge": Edge,
    "LlmAlert": Alert,
    "LlmAlertConnection": Connection,
    "LlmAlertEdge": Edge,
    "LlmAlertPayload": LlmAlertPayload,
    "LlmCall": Call,
    "LlmCallConnection": Connection,
    "LlmCallEdge": Edge,
    "LlmDayCost": DayCost,
    "LlmModelUsage": NamedModel,
    "LlmProviderUsage": NamedProvider,
    "LlmStats": Overview,
    "LlmTemplateSums": TemplateSums,
    "PageInfo": PageInfo,
    "Problem": Problem,
    "Project": ProjectProgress,
    "ProjectPayload": ProjectPayload,
    "ProjectSettings": Project,
    "Run": ListedRun,
    "RunConnection": Connection,
    "RunEdge": Edge,
    "RunEvent": RunEvent,
    "RunEventConnection": Connection,
    "RunEventEdge": Edge,
    "RunPayload": RunPayload,
    "SystemMetrics": Metrics,
    "Task": TaskProgress,
    "TaskConnection": Connection,
    "TaskEdge": Edge,
}
