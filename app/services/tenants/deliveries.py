"""Messages to tenants: requested in the transaction that gives the reason, and sent after it by the durable engine."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, get_args

from app.calendar import day_of
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import DeliveryDeferredError, DeliveryError
from app.events import Event, EventType, record
from app.jobs.work import Errand
from app.messages.ports import Channel
from app.services.billing.allowance import Standing, may
from app.services.billing.clock import billing_now
from app.services.billing.pages import return_url
from app.services.tenants.contact_messages import About, asking, telling
from app.services.tenants.messages import (
    grace_ended_mail,
    password_mail,
    password_text,
    payment_failed_mail,
    trial_ending_mail,
    welcome_mail,
)
from sql.statements import billing, sign_in, tenants
from sql.statements import deliveries as statements

BillingKind = Literal["payment_failed", "grace_ended", "trial_ending"]
ContactKind = Literal["contact_change", "contact_changed"]
Kind = Literal["one_time_password", "welcome"] | BillingKind | ContactKind
State = Literal["sent", "failed", "unreachable", "needless"]

# The errand's name; with the row's id it is the id under which the engine knows it.
DELIVERY = "delivery"
PASSWORD_DIGITS = 6
_NAMES: Final[dict[Kind, str]] = {
    "one_time_password": "Sign-in code",
    "welcome": "Welcome mail",
    "payment_failed": "Mail about a failed payment",
    "grace_ended": "Mail about the end of a grace",
    "trial_ending": "Mail about the end of a trial",
    "contact_change": "Message that asks to confirm other contact data",
    "contact_changed": "Message about changed contact data",
}
# The engine tries so often by itself: within a minute and a half.
MAX_ATTEMPTS = 5
# Seconds after which a row that still waits is put into the queue again; how many at a time.
MISSED_SECONDS = 20
SWEPT_AT_ONCE = 1000
REASON_LENGTH = 255


async def request_delivery(
    conn: WriteConnection, kind: Kind, slug: str, *, at: datetime, contact_change_id: int | None = None
) -> int:
    """Store in the caller's transaction that a message is to be sent; answers the delivery's id.

    Only the row is stored: it holds no secret, and looks the same for a slug that nobody has. Call
    ``enqueue_deliveries`` with the id after the commit. ``at`` is when the message was requested.
    """
    row = {"kind": kind, "tenant_slug": slug, "created_at": at, "contact_change_id": contact_change_id}
    return await conn.one(statements.insert_delivery, int, **row)


def enqueue_deliveries(ctx: Context, ids: Iterable[int]) -> None:
    """Have committed deliveries sent soon; one that a crash or an outage keeps from the queue is swept up later.

    It does not wait for the engine, so that no outage makes a failure of what is committed.
    """
    for delivery_id in ids:
        ctx.runtime.enqueue(DELIVERY, delivery_id)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery; ``attempts`` counts it."""

    id: int
    kind: Kind
    tenant_slug: str
    attempts: int
    created_at: datetime
    contact_change_id: int | None


@dataclass(frozen=True, slots=True)
class Recipient:
    """A tenant and where messages reach it."""

    id: int
    name: str
    slug: str
    email: str | None
    phone_number: str | None
    otp_delivery_method: str


class _UnreachableError(Exception):
    """There is no address that the message could go to."""


class _NeedlessError(Exception):
    """What the message would say is not so any more."""


async def deliver(ctx: Context, delivery_id: int) -> Mapping[str, object]:
    """Send the message of a delivery, and store how that ended; a delivery that has ended is left as it is.

    Raises DeliveryDeferredError where the caller should try again.
    """
    async with ctx.write_autocommit() as conn:
        attempt = await conn.maybe(statements.begin_attempt, Attempt, of_id=delivery_id)
    if attempt is None:
        return {"state": "ended before"}
    async with ctx.read() as reader:
        recipient = await reader.maybe(tenants.contact_by_slug, Recipient, tenant_slug=attempt.tenant_slug)
    state: State = "sent"
    reason = None
    try:
        await _send(ctx, attempt, recipient)
    except _UnreachableError as failure:
        state, reason = "unreachable", str(failure)
    except _NeedlessError as change:
        state, reason = "needless", str(change)
    except DeliveryError as failure:
        if isinstance(failure, DeliveryDeferredError) and attempt.attempts < MAX_ATTEMPTS:
            raise
        state, reason = "failed", failure.message
    await _finish(ctx, attempt, recipient, state, reason)
    return {"state": state}


async def deliveries_waiting(ctx: Context) -> list[int]:
    """The deliveries that should have been attempted by now."""
    before = ctx.now() - timedelta(seconds=MISSED_SECONDS)
    async with ctx.read() as conn:
        return await conn.many(statements.deliveries_waiting, int, before=before, max_rows=SWEPT_AT_ONCE)


async def _send(ctx: Context, attempt: Attempt, recipient: Recipient | None) -> None:
    if recipient is None:
        raise _UnreachableError("there is no such tenant")
    if attempt.attempts > MAX_ATTEMPTS:
        raise DeliveryError(reason=f"given up after {MAX_ATTEMPTS} attempts")
    if attempt.kind == "welcome":
        if not recipient.email:
            raise _UnreachableError("the tenant has no e-mail address")
        mail = welcome_mail(recipient.email, recipient.name, recipient.slug, ctx.now())
        await ctx.runtime.mailer.send(mail)
        return
    if attempt.kind == "one_time_password":
        await _send_password(ctx, attempt, recipient)
    elif attempt.kind in get_args(ContactKind):
        await _send_contact_message(ctx, attempt, recipient)
    else:
        await _send_billing_mail(ctx, attempt.kind, recipient)


async def _send_contact_message(ctx: Context, attempt: Attempt, recipient: Recipient) -> None:
    """Ask for a confirmation where one-time passwords go, or tell where they went before."""
    method, email, phone = recipient.otp_delivery_method, recipient.email, recipient.phone_number
    channel: Channel = "whatsapp" if method == "whatsapp" else "sms"
    # By mail and not by telephone where passwords go by mail alone: that may be nobody's number any more.
    contacts = {"email": email, "phone_number": phone if method != "email" or not email else None}
    about = About(recipient.id, recipient.name, attempt.contact_change_id or 0, contacts, channel)
    outgoing = await (asking if attempt.kind == "contact_change" else telling)(ctx, about)
    if outgoing is None:
        raise _NeedlessError("the change was decided or superseded by now, or has ended")
    if not outgoing.ways:
        raise _UnreachableError("the tenant had no address before")
    await _any_way(outgoing.ways, outgoing.secret)


async def _send_billing_mail(ctx: Context, kind: Kind, recipient: Recipient) -> None:
    """Tell a tenant of its subscription, as that stands now: what has changed since is not told."""
    if not recipient.email:
        raise _UnreachableError("the tenant has no e-mail address")
    now, zone = await billing_now(ctx), ctx.runtime.zone
    async with ctx.read() as conn:
        standing = await conn.maybe(billing.standing, Standing, tenant_id=recipient.id) or Standing(None)
    to, name, page = recipient.email, recipient.name, return_url(ctx.runtime.settings)
    is_licensed = may("run_project", standing, now).allowed
    if kind == "grace_ended" and not is_licensed and standing.state in {"past_due", "unpaid"}:
        mail = grace_ended_mail(to, name, page, ctx.now())
    elif kind == "payment_failed" and is_licensed and standing.grace_until is not None and standing.state == "past_due":
        mail = payment_failed_mail(to, name, day_of(standing.grace_until, zone), page, ctx.now())
    elif kind == "trial_ending" and standing.trial_ends_at is not None and standing.state == "trialing" and is_licensed:
        mail = trial_ending_mail(to, name, day_of(standing.trial_ends_at, zone), page, ctx.now())
    else:
        raise _NeedlessError(f"the subscription is {standing.state or 'gone'} by now")
    await ctx.runtime.mailer.send(mail)


async def _send_password(ctx: Context, attempt: Attempt, recipient: Recipient) -> None:
    """Make a password, store its keyed hash as the tenant's only challenge, and send it in every way it has chosen."""
    runtime, now = ctx.runtime, ctx.now()
    life = timedelta(seconds=runtime.settings.one_time_password_seconds)
    if attempt.created_at + life <= now:
        raise DeliveryError(reason="it was not sent in time")
    password = f"{secrets.randbelow(10**PASSWORD_DIGITS):0{PASSWORD_DIGITS}d}"
    minutes = max(1, runtime.settings.one_time_password_seconds // 60)
    ways: list[Callable[[], Awaitable[None]]] = []
    if recipient.email and recipient.otp_delivery_method in {"email", "both"}:
        mail = password_mail(recipient.email, recipient.name, password, minutes, now)
        ways.append(partial(runtime.mailer.send, mail))
    if recipient.phone_number and recipient.otp_delivery_method != "email":
        channel: Channel = "whatsapp" if recipient.otp_delivery_method == "whatsapp" else "sms"
        text = password_text(password, minutes)
        ways.append(partial(runtime.messenger.send, channel, recipient.phone_number, text))
    if not ways:
        raise _UnreachableError(f"the tenant has no address for {recipient.otp_delivery_method}")
    challenge = {
        "tenant_id": recipient.id,
        "code_hash": runtime.keys.one_time_password_hash(recipient.id, password),
        "expires_at": now + life,
        "created_at": now,
    }
    async with ctx.write_autocommit() as conn:
        await conn.affected(sign_in.store_challenge, **challenge)
    await _any_way(ways, password)


async def _any_way(ways: Sequence[Callable[[], Awaitable[None]]], secret: str) -> None:
    """Try all ways; one that works is enough. If none does, raises a failure that is worth a new try, where one is."""
    failures: list[DeliveryError] = []
    for way in ways:
        try:
            await way()
        except DeliveryError as cause:
            failures.append(cause)
    if len(failures) < len(ways):
        return
    failure = next((each for each in failures if isinstance(each, DeliveryDeferredError)), failures[0])
    if secret and "reason" in failure.values:
        # A server that refuses a message may quote it.
        raise type(failure)(reason=str(failure.values["reason"]).replace(secret, "(code)")) from None
    raise failure


async def _finish(
    ctx: Context, attempt: Attempt, recipient: Recipient | None, state: State, reason: str | None
) -> None:
    """Store the end once, however many attempts reach it; an event says which message a tenant did not get."""
    async with ctx.write() as conn:
        end = {"of_id": attempt.id, "outcome": state, "reason": reason and reason[:REASON_LENGTH]}
        is_first = await conn.affected(statements.finish_delivery, **end, now=ctx.now()) > 0
        if is_first and state in {"failed", "unreachable"} and recipient is not None:
            what = _NAMES[attempt.kind]
            metadata = {"delivery_id": attempt.id, "kind": attempt.kind, "state": state, "reason": end["reason"]}
            title = f"{what} for {recipient.slug} was not delivered"
            await record(conn, ctx, Event(EventType.DELIVERY_FAILED, title, tenant_id=recipient.id, metadata=metadata))


DELIVERIES = Errand(DELIVERY, deliver, deliveries_waiting)
