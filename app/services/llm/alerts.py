"""Alerts about models: raising each once, listing the newest, and dismissing one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Literal, NamedTuple

from app.context import Context
from app.cursors import NEWEST, cursor_of, moment_of, place_at, place_of
from app.database.connections import WriteConnection, as_batch
from app.errors import AlertNotFoundError
from app.events import Event, EventType, record
from app.services.llm.alert_mails import enqueue_mails, request_mails
from sql.statements import llm_alerts as statements

MAX_ALERTS = 200

_alert_page = cache(statements.alert_page)

AlertLevel = Literal["info", "warning", "critical"]


class NewAlert(NamedTuple):
    """What is to be raised; of the same ``key`` there is never a second one."""

    key: str
    type: str
    level: AlertLevel
    message: str
    details: str
    tenant_id: int | None = None
    project_id: str | None = None


class Raised(NamedTuple):
    """An alert that nobody had raised before."""

    id: int
    level: AlertLevel


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

    @property
    def cursor(self) -> str:
        """Leads to the alerts behind this one."""
        return cursor_of(place_at(self.created_at, self.id))


class AlertPage(NamedTuple):
    """Some alerts, and where the next page begins; None at the end."""

    rows: list[Alert]
    next_cursor: str | None


class Announcement(NamedTuple):
    """What a transaction has raised: how many alerts, and the mails that are to be sent once it is committed."""

    alerts: int
    mail_ids: Sequence[int]

    def committed(self, ctx: Context) -> None:
        """Have the mails sent soon."""
        enqueue_mails(ctx, self.mail_ids)


async def raise_alerts(conn: WriteConnection, ctx: Context, alerts: Sequence[NewAlert]) -> Announcement:
    """Store those that were not raised before, in their order, and request a mail about each critical one.

    Both belong to the caller's transaction; the caller calls ``committed`` of the answer after it.
    """
    now = ctx.now()
    batch = [{**alert._asdict(), "place": place, "created_at": now} for place, alert in enumerate(alerts)]
    raised = await conn.many(statements.raise_alerts, Raised, batch=as_batch(batch))
    critical = [alert.id for alert in raised if alert.level == "critical"]
    return Announcement(len(raised), await request_mails(conn, ctx, critical))


async def list_alerts(ctx: Context) -> list[Alert]:
    """The newest 200: first those that nobody has dismissed, then the others."""
    async with ctx.read() as conn:
        return await conn.many(statements.alerts, Alert, max_rows=MAX_ALERTS)


async def alerts_page(
    ctx: Context, *, is_dismissed: bool = False, cursor: str | None = None, page_size: int = 50
) -> AlertPage:
    """A page of those that nobody has dismissed, or of the others, the newest first.

    Raises ValidationError for a cursor that is not ours.
    """
    place = NEWEST if cursor is None else place_of(cursor)
    values = {"cursor_at": moment_of(place), "cursor_id": place[1], "page_size": page_size + 1}
    async with ctx.read() as conn:
        found = await conn.many(_alert_page(is_dismissed), Alert, **values)
    page = found[:page_size]
    return AlertPage(page, page[-1].cursor if len(found) > page_size else None)


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
