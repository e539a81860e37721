"""Mail to operators about critical alerts: requested with the alert, and sent after it by the durable engine, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Literal, NamedTuple

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.errors import DeliveryDeferredError, DeliveryError
from app.events import Event, EventType, record
from app.jobs.work import Errand
from app.messages.ports import Mail
from sql.statements import alert_mails as statements
from sql.statements import llm_alerts

State = Literal["sent", "failed", "withdrawn"]

# The errand's name; with the row's id it is the id under which the engine knows it.
ALERT_MAIL = "alert_mail"
# The engine tries so often by itself: within a minute and a half.
MAX_ATTEMPTS = 5
# Seconds after which a row that still waits is put into the queue again; how many at a time.
MISSED_SECONDS = 20
SWEPT_AT_ONCE = 1000
# Longer than any attempt lasts, because the errand is cancelled before.
LONGEST_ATTEMPT = timedelta(minutes=10)
REASON_LENGTH = 255
UNKNOWN = "The process that sent it has ended before it was told how; it may have arrived"


class MailAttempt(NamedTuple):
    """One attempt at a mail; ``attempts`` counts it."""

    id: int
    alert_id: int
    recipient: str
    attempts: int


class ToldAlert(NamedTuple):
    """What the mail tells."""

    id: int
    created_at: datetime
    level: str
    type: str
    message: str
    details: str
    dismissed_at: datetime | None
    tenant_id: int | None
    project_id: str | None


async def request_mails(conn: WriteConnection, ctx: Context, alert_ids: Sequence[int]) -> list[int]:
    """Store in the caller's transaction that these alerts go to ``alert_recipients``; answers the ids of the mails."""
    recipients, now = ctx.runtime.settings.alert_recipients, ctx.now()
    mails = [
        {"alert_id": alert_id, "recipient": recipient, "created_at": now}
        for alert_id in alert_ids
        for recipient in recipients
    ]
    return await conn.many(statements.insert_mails, int, batch=as_batch(mails)) if mails else []


def enqueue_mails(ctx: Context, ids: Iterable[int]) -> None:
    """Have committed mails sent soon; one that a crash or an outage keeps from the queue is swept up later."""
    for mail_id in ids:
        ctx.runtime.enqueue(ALERT_MAIL, mail_id)


async def send_mail(ctx: Context, mail_id: int) -> Mapping[str, object]:
    """Send one mail and store how that ended; one that has ended, or is sent at this moment, is left as it is.

    What may have arrived is not sent again: there is never a second mail about an alert to the same person. Raises
    DeliveryDeferredError where the caller should try again.
    """
    now = ctx.now()
    async with ctx.write_autocommit() as conn:
        attempt = await conn.maybe(statements.begin_mail, MailAttempt, of_id=mail_id, now=now)
    if attempt is None:
        return await _give_up(ctx, mail_id, now)
    async with ctx.read() as reader:
        alert = await reader.maybe(llm_alerts.alert_by_id, ToldAlert, alert_id=attempt.alert_id)
    if alert is None or attempt.recipient not in ctx.runtime.settings.alert_recipients:
        return await _finish(ctx, attempt, "withdrawn", None)
    try:
        await ctx.runtime.mailer.send(_mail(ctx, attempt.recipient, alert))
    except DeliveryDeferredError as failure:
        if attempt.attempts >= MAX_ATTEMPTS:
            return await _finish(ctx, attempt, "failed", failure.message)
        async with ctx.write_autocommit() as conn:
            await conn.affected(statements.wait_again, of_id=attempt.id)
        raise
    except DeliveryError as failure:
        return await _finish(ctx, attempt, "failed", failure.message)
    return await _finish(ctx, attempt, "sent", None)


async def mails_waiting(ctx: Context) -> list[int]:
    """The mails that should have been attempted by now, and those whose process has ended while it sent them."""
    now = ctx.now()
    moments = {"before": now - timedelta(seconds=MISSED_SECONDS), "begun_before": now - LONGEST_ATTEMPT}
    async with ctx.read() as conn:
        return await conn.many(statements.mails_waiting, int, **moments, max_rows=SWEPT_AT_ONCE)


async def _give_up(ctx: Context, mail_id: int, now: datetime) -> Mapping[str, object]:
    async with ctx.write() as conn:
        values = {"of_id": mail_id, "begun_before": now - LONGEST_ATTEMPT, "reason": UNKNOWN, "now": now}
        lost = await conn.maybe(statements.give_mail_up, MailAttempt, **values)
        if lost is not None:
            await _tell(conn, ctx, lost, UNKNOWN)
    return {"state": "ended before" if lost is None else "failed"}


async def _finish(ctx: Context, attempt: MailAttempt, state: State, reason: str | None) -> Mapping[str, object]:
    """Store the end; an event says which mail somebody did not get."""
    async with ctx.write() as conn:
        end = {"of_id": attempt.id, "outcome": state, "reason": reason and reason[:REASON_LENGTH]}
        is_first = await conn.affected(statements.finish_mail, **end, now=ctx.now()) > 0
        if is_first and reason is not None:
            await _tell(conn, ctx, attempt, reason)
    return {"state": state}


async def _tell(conn: WriteConnection, ctx: Context, attempt: MailAttempt, reason: str) -> None:
    title = f"Mail about alert {attempt.alert_id} to {attempt.recipient} was not delivered"
    metadata = {"alert_id": attempt.alert_id, "recipient": attempt.recipient, "reason": reason[:REASON_LENGTH]}
    await record(conn, ctx, Event(EventType.DELIVERY_FAILED, title, metadata=metadata))


def _mail(ctx: Context, to: str, alert: ToldAlert) -> Mail:
    where = ctx.runtime.settings.public_url
    at = f"{alert.created_at.astimezone(ctx.runtime.zone):%Y-%m-%d %H:%M %Z}"
    text = f"{alert.message}.\n\n{alert.details}\n\nRaised at {at} by {where}, which does not stop calls for it.\n"
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"></head><body>'
        f"<p><strong>{escape(alert.message)}.</strong></p><p>{escape(alert.details)}</p>"
        f"<p>Raised at {escape(at)} by {escape(where)}, which does not stop calls for it.</p></body></html>"
    )
    return Mail(to, f"Critical alert: {alert.message}"[:200], text, html, ctx.now())


ALERT_MAILS = Errand(ALERT_MAIL, send_mail, mails_waiting)
