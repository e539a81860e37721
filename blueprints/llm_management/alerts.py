"""Alerts about models: listing and dismissing them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED
from app.services.llm import alerts as use_cases
from app.services.llm.alerts import Alert
from blueprints.llm_management import api
from blueprints.web.fields import RequestModel

DISMISS = "dismiss"


class AlertAction(RequestModel):
    """What is to be done with an alert."""

    action: Annotated[Literal["dismiss"], Field(description="`dismiss` resolves it.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAnswer:
    """An alert, and what may be done with it: nothing once it is resolved."""

    __pydantic_config__ = AS_NAMED
    id: str
    timestamp: datetime
    level: Annotated[str, Field(description="`info`, `warning` or `critical`.")]
    type: str
    message: str
    details: str
    resolved: bool
    actions: list[str]

    @classmethod
    def of(cls, alert: Alert) -> AlertAnswer:
        """The answer about an alert of the list."""
        return cls(
            id=str(alert.id),
            timestamp=alert.created_at,
            level=alert.level,
            type=alert.type,
            message=alert.message,
            details=alert.details,
            resolved=alert.dismissed_at is not None,
            actions=[DISMISS] if alert.dismissed_at is None else [],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """The newest alerts, at most 200."""

    __pydantic_config__ = AS_NAMED
    alerts: list[AlertAnswer]


@api.operation("GET", "/alerts", caller=operator(Permission.LLM_ALERTS_READ), answers=Alerts)
async def alerts(ctx: Context) -> Alerts:
    """The newest 200 alerts: first those that nobody has dismissed, each newest first."""
    return Alerts(alerts=[AlertAnswer.of(alert) for alert in await use_cases.list_alerts(ctx)])


@api.operation(
    "POST",
    "/alerts/{alert_id:int}",
    caller=operator(Permission.LLM_ALERTS_WRITE),
    body=AlertAction,
    answers=AlertAnswer,
    errors=(errors.AlertNotFoundError,),
    path_parameters={"alert_id": "The alert's id."},
)
async def act_on_alert(ctx: Context, body: AlertAction, alert_id: int) -> AlertAnswer:
    """Dismiss an alert; a second dismissal changes nothing and is answered like the first."""
    return AlertAnswer.of(await use_cases.dismiss_alert(ctx, alert_id))
