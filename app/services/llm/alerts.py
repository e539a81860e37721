"""Alerts about models: listing the newest, and dismissing one."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from app.context import Context
from app.errors import AlertNotFoundError
from app.events import Event, EventType, record
from sql.statements import llm_alerts as statements

MAX_ALERTS = 200


class Alert(NamedTuple):
    """An alert; whoever dismisses it resolves it."""

    id: int
    created_at: datetime
    level: str
    type: str
    message: str
    details: str
    dismissed_at: datetime | None
    tenant_id: int | None
    project_id: str | None


async def list_alerts(ctx: Context) -> list[Alert]:
    """The newest 200: first those that nobody has dismissed, then the others."""
    async with ctx.read() as conn:
        return await conn.many(statements.alerts, Alert, max_rows=MAX_ALERTS)


async def dismiss_alert(ctx: Context, alert_id: int) -> Alert:
    """Dismiss an alert; a second dismissal changes nothing. Raises AlertNotFoundError."""
    async with ctx.write() as conn:
        values = {"now": ctx.now(), "actor": ctx.actor.name}
        dismissed = await conn.maybe(statements.dismiss_alert, Alert, of_id=alert_id, **values)
        if dismissed is not None:
            await record(conn, ctx, _event(dismissed))
            return dismissed
        known = await conn.maybe(statements.alert_by_id, Alert, alert_id=alert_id)
    if known is None:
        raise AlertNotFoundError(alert_id=alert_id)
    return known


def _event(alert: Alert) -> Event:
    return Event(
        EventType.ALERT_DISMISSED,
        f"Alert dismissed: {alert.message}",
        tenant_id=alert.tenant_id,
        project_id=alert.project_id,
        metadata={"alert_id": alert.id, "level": alert.level, "type": alert.type},
    )
