"""Sessions at Stripe, opened once however many clicks ask: a committed row stands for each before Stripe is asked.

opening    the row is there; whoever holds ``asked_until`` asks Stripe, the others wait for its answer
open       the tenant may pay in it; each further click is shown the same one until it expires
paid, failed, expired, refunded    as Stripe has said, or because another choice has replaced it
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from app.clock import is_held
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import (
    CheckoutReplacedError,
    PaymentsRefusedError,
    PaymentsUnavailableError,
    PortalError,
    RateLimitedError,
)
from app.providers.payments import Session
from app.services.billing.clock import billing_now
from app.services.directory.lookup import lock_tenant
from app.services.payments.payer import gateway_of, in_time
from app.settings import Settings
from sql.statements import checkouts as statements

Kind = Literal["subscription", "plan_change", "codes"]

# How often those who wait for somebody else's answer look for it.
POLL_SECONDS: Final = 0.1
# One purchase of codes is one click: a second one of the same within so long is a repeat of it.
REPEATED: Final = timedelta(minutes=10)
# So many sessions a tenant may open in an hour: Stripe counts the calls of all tenants together.
MAX_AN_HOUR: Final = 60
HOUR: Final = timedelta(hours=1)
# How long a page that asks to confirm a change can be counted on; Stripe says nothing of its end.
CONFIRMABLE: Final = timedelta(minutes=4)
# A session that nobody has opened, or that Stripe has told no end of, is given up after so long.
GIVEN_UP: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a tenant sets out to pay for; the amount in minor units."""

    kind: Kind
    plan_id: int | None = None
    quantity: int | None = None
    label: str | None = None
    amount: int | None = None
    currency: str | None = None


class Opened(NamedTuple):
    """A session that is open: where the tenant's browser goes."""

    checkout_id: int
    session_id: str
    url: str
    amount: int | None


class _Recent(NamedTuple):
    """How many sessions a tenant has opened lately, and when the first of them."""

    checkouts: int
    oldest: datetime | None


class Answered(NamedTuple):
    """What Stripe has answered, and as what kind of session it was asked."""

    kind: Kind
    session: Session


class _Row(NamedTuple):
    """A row of ``checkouts`` that is not finished, or was not when it was last looked at."""

    id: int
    kind: Kind
    state: str
    plan_id: int | None
    stripe_session_id: str | None
    url: str | None
    amount: int | None
    asked_until: datetime | None
    expires_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether its session can still be shown."""
        return self.state == "open" and (self.expires_at is None or now < self.expires_at)

    @property
    def opened(self) -> Opened:
        """The session that it stands for."""
        return Opened(self.id, self.stripe_session_id or "", self.url or "", self.amount)


class _Place(NamedTuple):
    """The row of this choice, whether this caller is to ask Stripe, and sessions that must be closed before."""

    row: _Row
    is_ours: bool
    replaced: list[_Row]


Ask = Callable[[int], Awaitable[Answered]]


async def open_once(ctx: Context, draft: Draft, ask: Ask) -> Opened:
    """The session for what the tenant has chosen: the one that is open, or a new one, for which ``ask`` asks Stripe.

    ``ask`` gets the row's id, of which it makes its keys. Raises RateLimitedError, CheckoutReplacedError,
    TenantNotFoundError and what the gateway raises; the next click can then go on where this one has stopped.
    """
    at_billing = await billing_now(ctx)
    async with ctx.write() as conn:
        # Of a tenant's clicks at the same moment, each sees what those before it have done.
        await lock_tenant(conn, ctx.tenant_slug)
        place = await _take_place(conn, ctx, draft, at_billing)
    if place.is_ours:
        return await in_time(ctx, _open(ctx, place, ask))
    return place.row.opened if place.row.state == "open" else await _wait(ctx, place.row)


async def close_old_checkouts(ctx: Context) -> int:
    """Close what nobody has paid for in time; answers how many. Stripe's own word still stands above that."""
    at_billing = await billing_now(ctx)
    async with ctx.write_autocommit() as conn:
        # An hour later than Stripe does, so that it is Stripe that says so wherever it says anything.
        before = at_billing - timedelta(hours=1)
        return await conn.affected(statements.close_expired, before=before, now=ctx.now())


async def _take_place(conn: WriteConnection, ctx: Context, draft: Draft, at_billing: datetime) -> _Place:
    now = ctx.now()
    found = await _same_choice(conn, ctx, draft)
    mine = next((row for row in found if row.plan_id == draft.plan_id and row.kind == draft.kind), None)
    others = [row for row in found if row is not mine]
    if mine is not None and mine.state == "open":
        if mine.is_good(at_billing):
            return _Place(mine, is_ours=False, replaced=[])
        others.append(mine)
        mine = None
    if mine is not None and is_held(mine.asked_until, now):
        return _Place(mine, is_ours=False, replaced=[])
    until = now + timedelta(seconds=asking_seconds(ctx.runtime.settings))
    replaced = [row for row in others if not await _close_unless_payable(conn, ctx, row, at_billing)]
    if mine is not None:
        key = {"of_tenant_id": ctx.tenant_id, "of_id": mine.id}
        await conn.affected(statements.ask_again, **key, until=until, now=now)
        return _Place(mine, is_ours=True, replaced=replaced)
    await _check_pace(conn, ctx)
    return _Place(await _insert(conn, ctx, draft, until, at_billing), is_ours=True, replaced=replaced)


async def _check_pace(conn: WriteConnection, ctx: Context) -> None:
    """Raise RateLimitedError where the tenant has opened as many sessions within an hour as it may."""
    now = ctx.now()
    recent = await conn.one(statements.recent_checkouts, _Recent, tenant_id=ctx.tenant_id, since=now - HOUR)
    if recent.oldest is None or recent.checkouts < MAX_AN_HOUR or ctx.runtime.settings.rate_limits == "off":
        return
    raise RateLimitedError(retry_after=max(1, math.ceil((recent.oldest + HOUR - now).total_seconds())))


async def _same_choice(conn: WriteConnection, ctx: Context, draft: Draft) -> list[_Row]:
    """The tenant's unfinished sessions that are for the same, or for another plan: it pays for one at a time."""
    if draft.kind != "codes":
        return await conn.many(statements.unfinished_plans, _Row, tenant_id=ctx.tenant_id)
    choice = {"quantity": draft.quantity, "label": draft.label, "since": ctx.now() - REPEATED}
    return await conn.many(statements.unfinished_codes, _Row, tenant_id=ctx.tenant_id, **choice)


async def _close_unless_payable(conn: WriteConnection, ctx: Context, row: _Row, at_billing: datetime) -> bool:
    """Close a session here; False for one in which somebody may still pay, which Stripe must close first."""
    if row.kind == "subscription" and row.is_good(at_billing):
        return False
    key = {"of_tenant_id": ctx.tenant_id, "of_id": row.id}
    await conn.affected(statements.close_checkout, **key, outcome="expired", now=ctx.now())
    return True


async def _insert(conn: WriteConnection, ctx: Context, draft: Draft, until: datetime, at_billing: datetime) -> _Row:
    now = ctx.now()
    values: dict[str, Any] = {
        "kind": draft.kind,
        "plan_id": draft.plan_id,
        "quantity": draft.quantity,
        "label": draft.label,
        "amount": draft.amount,
        "currency": draft.currency,
    }
    checkout_id = await conn.one(
        statements.insert_checkout,
        int,
        **values,
        tenant_id=ctx.tenant_id,
        state="opening",
        asked_until=until,
        expires_at=at_billing + GIVEN_UP,
        created_at=now,
        updated_at=now,
    )
    return _Row(checkout_id, draft.kind, "opening", draft.plan_id, None, None, draft.amount, until, None)


def asking_seconds(settings: Settings) -> float:
    """How long whoever asks may take: a few calls of Stripe, each with all its attempts."""
    return 4 * settings.stripe_timeout_seconds


async def _open(ctx: Context, place: _Place, ask: Ask) -> Opened:
    """Close what this choice replaces, ask Stripe, and store what it has answered."""
    key = {"of_tenant_id": ctx.tenant_id, "of_id": place.row.id}
    try:
        for row in place.replaced:
            await _close_at_stripe(ctx, row)
        answered = await ask(place.row.id)
    except Exception as failure:
        async with ctx.write_autocommit() as conn:
            if isinstance(failure, PaymentsUnavailableError) or not isinstance(failure, PortalError):
                # Whoever clicks next asks again, with the same key.
                await conn.affected(statements.ask_again, **key, until=None, now=ctx.now())
            else:
                await conn.affected(statements.close_checkout, **key, outcome="failed", now=ctx.now())
        raise
    session = answered.session
    until = session.expires_at or await billing_now(ctx) + CONFIRMABLE
    stored = {"new_kind": answered.kind, "session_id": session.id, "session_url": session.url, "until": until}
    async with ctx.write_autocommit() as conn:
        is_open = await conn.affected(statements.open_checkout, **key, **stored, now=ctx.now()) > 0
    if not is_open:
        if answered.kind != "plan_change":
            await gateway_of(ctx).expire_session(session_id=session.id, key=f"expire:{place.row.id}")
        raise CheckoutReplacedError
    return Opened(place.row.id, session.id, session.url, place.row.amount)


async def _close_at_stripe(ctx: Context, row: _Row) -> None:
    """Close a session in which the tenant could still pay for what it no longer wants.

    Raises CheckoutReplacedError where it has been paid in already: then it is too late for another choice.
    """
    if row.stripe_session_id is not None:
        try:
            await gateway_of(ctx).expire_session(session_id=row.stripe_session_id, key=f"expire:{row.id}")
        except PaymentsRefusedError:
            raise CheckoutReplacedError from None
    async with ctx.write_autocommit() as conn:
        key = {"of_tenant_id": ctx.tenant_id, "of_id": row.id}
        await conn.affected(statements.close_checkout, **key, outcome="expired", now=ctx.now())


async def _wait(ctx: Context, row: _Row) -> Opened:
    """What somebody else is answered who asks Stripe for the same; no connection is held meanwhile.

    Raises PaymentsUnavailableError once that one has given up or takes too long.
    """
    settings = ctx.runtime.settings
    ends = time.monotonic() + min(settings.stripe_timeout_seconds, max(1, settings.response_timeout_seconds - 5))
    while time.monotonic() < ends:
        await asyncio.sleep(POLL_SECONDS)
        async with ctx.read() as conn:
            found = await conn.maybe(statements.checkout, _Row, tenant_id=ctx.tenant_id, checkout_id=row.id)
        if found is None or found.state not in {"opening", "open"}:
            raise CheckoutReplacedError
        if found.state == "open":
            return found.opened
        if not is_held(found.asked_until, ctx.now()):
            raise PaymentsUnavailableError
    raise PaymentsUnavailableError
