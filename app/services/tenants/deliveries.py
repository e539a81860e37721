"""Messages to tenants: asked for in the transaction of what they tell, and sent after it by the durable engine."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import DeliveryDeferredError, DeliveryError
from app.events import Event, EventType, record
from app.jobs.work import Errand
from app.messages.ports import Channel
from app.services.tenants.messages import password_mail, password_text, welcome_mail
from sql.statements import deliveries as statements
from sql.statements import sign_in, tenants

Kind = Literal["one_time_password", "welcome"]
State = Literal["sent", "failed", "unreachable"]

# The errand's name; with the row's id it is the id under which the engine knows it.
DELIVERY = "delivery"
PASSWORD_DIGITS = 6
# As often as the engine tries again by itself: within a minute and a half.
MAX_ATTEMPTS = 5
# Seconds after which a row that still waits is put into the queue again; how many at a time.
MISSED_SECONDS = 20
SWEPT_AT_ONCE = 1000
REASON_LENGTH = 255


async def request_delivery(conn: WriteConnection, kind: Kind, slug: str, *, at: datetime) -> int:
    """Note in the caller's transaction that a message is to be sent; answers the delivery's id.

    The row is all there is: it holds no secret, and looks the same for a slug that nobody has. Hand the id to
    ``enqueue_deliveries`` after the commit. ``at`` is when it was asked for.
    """
    row = {"kind": kind, "tenant_slug": slug, "created_at": at}
    return await conn.one(statements.insert_delivery, int, **row)


async def enqueue_deliveries(ctx: Context, ids: Iterable[int]) -> None:
    """Have committed deliveries sent soon; one that is missed here, by a crash or an outage, is swept up later."""
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


async def deliver(ctx: Context, delivery_id: int) -> Mapping[str, object]:
    """Send what a delivery asks for, and note how it ended; one that has ended is left alone.

    Raises DeliveryDeferredError while it is worth another attempt, which is the caller's to make.
    """
    async with ctx.runtime.db.write_autocommit() as conn:
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
    await _send_password(ctx, attempt, recipient)


async def _send_password(ctx: Context, attempt: Attempt, recipient: Recipient) -> None:
    """Make a password, keep its keyed hash as the tenant's only challenge, and send it every way that is wished."""
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
    async with runtime.db.write_autocommit() as conn:
        await conn.affected(sign_in.store_challenge, **challenge)
    await _any_way(ways, password)


async def _any_way(ways: Sequence[Callable[[], Awaitable[None]]], password: str) -> None:
    """Try all ways; one that works is enough. Raises the failure that leaves the most hope."""
    failures: list[DeliveryError] = []
    for way in ways:
        try:
            await way()
        except DeliveryError as failure:
            failures.append(failure)
    if len(failures) < len(ways):
        return
    worst = next((failure for failure in failures if isinstance(failure, DeliveryDeferredError)), failures[0])
    if "reason" in worst.values:
        # A server that refuses a message may quote it.
        raise type(worst)(reason=str(worst.values["reason"]).replace(password, "(code)")) from None
    raise worst


async def _finish(
    ctx: Context, attempt: Attempt, recipient: Recipient | None, state: State, reason: str | None
) -> None:
    """Note the end once, whoever else comes to it; operators are told of what a tenant they have did not get."""
    async with ctx.write() as conn:
        end = {"of_id": attempt.id, "outcome": state, "reason": reason and reason[:REASON_LENGTH]}
        ended = await conn.affected(statements.finish_delivery, **end, now=ctx.now())
        if ended and state != "sent" and recipient is not None:
            what = {"one_time_password": "Sign-in code", "welcome": "Welcome mail"}[attempt.kind]
            told = {"delivery_id": attempt.id, "kind": attempt.kind, "state": state, "reason": end["reason"]}
            title = f"{what} for {recipient.slug} was not delivered"
            await record(conn, ctx, Event(EventType.DELIVERY_FAILED, title, tenant_id=recipient.id, metadata=told))


DELIVERIES = Errand(DELIVERY, deliver, deliveries_waiting)
