"""All that is bound to the schema, and the record behind each of its types."""

from __future__ import annotations

from typing import Any, Final

from ariadne import SchemaBindable

from app.resolvers import (
    activation_codes,
    agents,
    connections,
    dashboard,
    devices,
    plans,
    projects,
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
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from app.services.progress.figures import Dashboard, Metrics
from app.services.progress.records import Activity, AgentProgress, ProjectProgress, TaskProgress
from app.services.tenants.details import TenantDetails
from app.services.usage.by_day import DayOfUsage

BINDABLES: Final[tuple[SchemaBindable, ...]] = (
    scalars.date_time,
    scalars.day,
    scalars.long,
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
    plans.mutation,
    plans.plan,
    plans.query,
    plans.subscription,
    projects.mutation,
    projects.project,
    projects.project_statuses,
    projects.query,
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
LISTED: Final = ("ActivationCode", "DailyUsage", "Device", "Plan", "Tenant")

# Where a field has no resolver, it is an attribute of its type's record.
RECORDS: Final[dict[str, type[Any]]] = {
    "ActivationCode": ListedCode,
    "ActivationCodePayload": activation_codes.CodePayload,
    "Agent": AgentProgress,
    "AgentActivity": Activity,
    "CreateTenantPayload": tenants.CreateTenantPayload,
    "DailyUsage": DayOfUsage,
    "DashboardStats": Dashboard,
    "DeleteTenantPayload": tenants.DeleteTenantPayload,
    "Device": ListedDevice,
    "DevicePayload": devices.DevicePayload,
    "GenerateActivationCodesPayload": activation_codes.GeneratePayload,
    "PageInfo": PageInfo,
    "Plan": Plan,
    "PlanPayload": plans.PlanPayload,
    "Problem": Problem,
    "Project": ProjectProgress,
    "SystemMetrics": Metrics,
    "Task": TaskProgress,
    "Tenant": TenantDetails,
    "TenantPayload": tenants.TenantPayload,
    "TenantSubscription": TenantSubscription,
    **{f"{noun}Connection": Connection for noun in LISTED},
    **{f"{noun}Edge": Edge for noun in LISTED},
}
