"""All that is bound to the schema, and the record behind each of its types."""

from __future__ import annotations

from typing import Any, Final

from ariadne import SchemaBindable

from app.events import StoredEvent
from app.resolvers import (
    activation_codes,
    agents,
    connections,
    dashboard,
    devices,
    events,
    ledger,
    llm,
    plans,
    project_changes,
    projects,
    runs,
    scalars,
    subscriptions,
    tasks,
    tenants,
    usage,
)
from app.resolvers.connections import Connection, Edge, PageInfo
from app.resolvers.problems import Problem
from app.services.billing.of_tenants import TenantSubscription
from app.services.billing.plans import Plan
from app.services.ledger.standing import Standing
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from app.services.llm.alerts import Alert
from app.services.llm.call_list import Call
from app.services.progress.figures import Dashboard, Metrics
from app.services.progress.records import Activity, AgentProgress, ProjectProgress, TaskProgress
from app.services.projects.details import Project
from app.services.reports.model_usage import DayCost, NamedModel, NamedProvider, Overview, TemplateSums
from app.services.runs.records import ListedRun
from app.services.runs.run_events import RunEvent
from app.services.tenants.details import TenantDetails
from app.services.usage.by_day import DayOfUsage

BINDABLES: Final[tuple[SchemaBindable, ...]] = (
    activation_codes.code,
    activation_codes.mutation,
    activation_codes.query,
    activation_codes.statuses,
    agents.agent_types,
    agents.query,
    connections.connection,
    dashboard.query,
    dashboard.stats,
    devices.device,
    devices.mutation,
    devices.query,
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
    plans.mutation,
    plans.plan,
    plans.query,
    plans.subscription,
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
    runs.task,
    scalars.date_time,
    scalars.day,
    scalars.long,
    subscriptions.subscription,
    tasks.mutation,
    tasks.query,
    tasks.task,
    tasks.task_statuses,
    tenants.mutation,
    tenants.query,
    tenants.states,
    tenants.tenant,
    usage.tenant,
)

# What is listed page by page.
LISTED: Final = (
    "ActivationCode",
    "AuditEvent",
    "DailyUsage",
    "Device",
    "LedgerAccount",
    "LlmAlert",
    "LlmCall",
    "Plan",
    "Run",
    "RunEvent",
    "Task",
    "Tenant",
)

# Where a field has no resolver, it is an attribute of its type's record.
RECORDS: Final[dict[str, type[Any]]] = {
    "ActivationCode": ListedCode,
    "ActivationCodePayload": activation_codes.CodePayload,
    "Agent": AgentProgress,
    "AgentActivity": Activity,
    "AuditEvent": StoredEvent,
    "CreateTenantPayload": tenants.CreateTenantPayload,
    "DailyUsage": DayOfUsage,
    "DashboardStats": Dashboard,
    "DeleteProjectPayload": project_changes.DeleteProjectPayload,
    "DeleteTenantPayload": tenants.DeleteTenantPayload,
    "Device": ListedDevice,
    "DevicePayload": devices.DevicePayload,
    "GenerateActivationCodesPayload": activation_codes.GeneratePayload,
    "LedgerAccount": Standing,
    "LlmAlert": Alert,
    "LlmAlertPayload": llm.LlmAlertPayload,
    "LlmCall": Call,
    "LlmDayCost": DayCost,
    "LlmModelUsage": NamedModel,
    "LlmProviderUsage": NamedProvider,
    "LlmStats": Overview,
    "LlmTemplateSums": TemplateSums,
    "PageInfo": PageInfo,
    "Plan": Plan,
    "PlanPayload": plans.PlanPayload,
    "Problem": Problem,
    "Project": ProjectProgress,
    "ProjectPayload": project_changes.ProjectPayload,
    "ProjectSettings": Project,
    "Run": ListedRun,
    "RunEvent": RunEvent,
    "RunPayload": runs.RunPayload,
    "SystemMetrics": Metrics,
    "Task": TaskProgress,
    "Tenant": TenantDetails,
    "TenantPayload": tenants.TenantPayload,
    "TenantSubscription": TenantSubscription,
    **{f"{noun}Connection": Connection for noun in LISTED},
    **{f"{noun}Edge": Edge for noun in LISTED},
}
