"""Calls of models and what they come to, alerts about models, and dismissing one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.resolvers.connections import Connection, Slice, cursor_is_after
from app.resolvers.context import Info
from app.resolvers.inputs import row_id
from app.resolvers.problems import Payload, changing
from app.services.llm import alerts, call_list
from app.services.llm.alerts import Alert
from app.services.llm.call_list import DAYS, Call, Chosen
from app.services.progress.records import ProjectProgress
from app.services.reports import model_usage
from app.services.reports.model_usage import Overview
from app.services.runs.records import ListedRun
from sql.tables.llm import ALERT_LEVELS

call_statuses = EnumType("LlmCallStatus", {"SUCCESS": "success", "ERROR": "error", "CACHED": "cached"})
periods = EnumType(
    "LlmPeriod",
    {"TODAY": "today", **dict(zip(("ONE_DAY", "SEVEN_DAYS", "THIRTY_DAYS"), DAYS, strict=True)), "ALL": "all"},
)
alert_levels = EnumType("LlmAlertLevel", {name.upper(): name for name in ALERT_LEVELS})
query = QueryType()
mutation = MutationType()
call = ObjectType("LlmCall")


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmAlertPayload(Payload):
    """What the dismissal of an alert answers."""

    alert: Alert | None = None


@query.field("llmCalls")
async def resolve_llm_calls(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    first: int,
    after: str | None,
) -> Connection[Call]:
    """A page of calls, newest first."""
    page, chosen = Slice.asked(first, after), Chosen(**(filter or {}))
    with cursor_is_after():
        found = await call_list.list_calls(info.context.ctx, chosen, cursor=after, page_size=page.wanted)
    return page.connection(found.rows, lambda row: row.cursor, found.total)


@call.field("project")
async def resolve_project(of: Call, info: Info) -> ProjectProgress | None:
    """The project that it was for."""
    return None if of.project_id is None else await info.context.loaders.projects.load(of.project_id)


@call.field("run")
async def resolve_run(of: Call, info: Info) -> ListedRun | None:
    """The run that it was for."""
    return None if of.run_id is None else await info.context.loaders.runs.by_id.load(of.run_id)


@query.field("llmStats")
async def resolve_llm_stats(_: Any, info: Info) -> Overview:
    """What calls of models come to."""
    return await model_usage.overview(info.context.ctx)


@query.field("llmAlerts")
async def resolve_llm_alerts(
    _: Any, info: Info, *, is_dismissed: bool, first: int, after: str | None
) -> Connection[Alert]:
    """A page of alerts, newest first."""
    page, ctx = Slice.asked(first, after), info.context.ctx
    with cursor_is_after():
        found = await alerts.alerts_page(ctx, is_dismissed=is_dismissed, cursor=after, page_size=page.wanted)
    return page.connection(found.rows, lambda row: row.cursor)


@mutation.field("dismissLlmAlert")
@changing(LlmAlertPayload)
async def resolve_dismiss_llm_alert(_: Any, info: Info, *, input: dict[str, Any]) -> LlmAlertPayload:  # noqa: A002 - the argument's name
    """Dismiss an alert."""
    alert_id = row_id(input["alert_id"], "alertId")
    return LlmAlertPayload(alert=await alerts.dismiss_alert(info.context.ctx, alert_id))
