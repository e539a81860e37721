"""Folding: an errand locks a customer, reads its facts, and writes what follows from them, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
import structlog

from app.context import Actor, Context
from app.database.connections import ReadConnection, WriteConnection, as_batch
from app.errors import PortalError, UnavailableError
from app.jobs.work import Errand
from app.providers.payments import Kind
from app.services.billing.fact_log import FOLD, add_fact
from app.services.billing.facts import OPERATOR_CHANGE, Fact, Source
from app.services.billing.fold import fold, named_tenant
from app.services.billing.state import BillingState
from app.services.payments.projection import Folded, project, subscription_as_stored
from app.telemetry import metrics
from sql.statements import folding as statements
from sql.statements import inbox

# Seconds after which an errand leaves what still waits to the next one; customers that it looks for at once.
RUN_SECONDS: Final = 30.0
NEXT_AT_ONCE: Final = 50
# How often Stripe is asked in one go for what events of one second leave open.
MAX_FETCHES: Final = 3
# Seconds after which an event that still waits is swept up; how many customers at a time.
MISSED_SECONDS: Final = 20
SWEPT_AT_ONCE: Final = 1000
# What has failed is tried again after 10 seconds, then after twice as long each time, for three days.
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=6)
TRIED_FOR: Final = timedelta(days=3)
# What is given up, or whose customer nobody knows, waits until somebody does something about it.
FOREVER: Final = timedelta(days=36500)
MAX_REASON: Final = 1000
STRIPE: Final = Actor("stripe", "stripe")

log = structlog.get_logger(__name__)


class _Customer(NamedTuple):
    """A customer at Stripe, locked; without a tenant nobody knows whose it is."""

    id: int
    tenant_id: int | None
    stripe_customer_id: str
    folded_at: datetime | None


class StoredFact(NamedTuple):
    """A fact as it is stored; the payload is JSON."""

    id: int
    source: Source
    reference: str
    type: str
    object_id: str | None
    happened_at: datetime
    payload: str
    handled_at: datetime | None
    attempts: int
    is_current: bool

    @property
    def fact(self) -> Fact:
        """The fact as a fold reads it."""
        payload = orjson.loads(self.payload)
        return Fact(self.id, self.source, self.reference, self.type, self.object_id, self.happened_at, payload)


class Inbox(NamedTuple):
    """How much waits, since when, and how much of it has failed."""

    waiting: int
    oldest_received_at: datetime | None
    failing: int


class _Tried(NamedTuple):
    """How often a customer's facts were tried, and since when they wait."""

    attempts: int
    oldest: datetime | None


class Needed(NamedTuple):
    """What only Stripe can tell, and what was known of it when that was found out."""

    kind: Kind
    object_id: str
    known_at: datetime
    covers: tuple[str, ...]


async def fold_waiting(ctx: Context, customer_id: int) -> Mapping[str, object]:
    """Fold a customer, and then the others of which something waits, for about half a minute."""
    ctx = ctx._replace(actor=STRIPE)
    ends, done, waiting = time.monotonic() + RUN_SECONDS, 0, [customer_id]
    while waiting and time.monotonic() < ends:
        for each in waiting:
            await fold_customer(ctx, each)
            done += 1
        waiting = await _next(ctx, before=ctx.now(), max_rows=NEXT_AT_ONCE)
    for each in waiting:
        ctx.runtime.enqueue(FOLD, each)
    await measure(ctx)
    return {"customers": done}


async def fold_customer(ctx: Context, customer_id: int) -> None:
    """Handle all that waits of a customer; a failure is kept with the facts, which are tried again later.

    Raises UnavailableError where the database does not answer.
    """
    try:
        await _fold(ctx, customer_id)
    except UnavailableError:
        raise
    except Exception as failure:
        if not isinstance(failure, StripeSilentError | PortalError):
            log.exception("billing_fold_failed", customer=customer_id)
        await _note_failure(ctx, customer_id, str(failure) or type(failure).__name__)


async def _fold(ctx: Context, customer_id: int) -> None:
    """Fold a customer; what is asked of Stripe is asked outside of the transaction. Raises StripeSilentError."""
    gateway = ctx.runtime.payments
    for _ in range(MAX_FETCHES):
        needed = await fold_once(ctx, customer_id, can_ask=gateway is not None)
        if not needed or gateway is None:
            return
        for each in needed:
            found = await _asked(gateway.fetch(each.kind, each.object_id))
            await store_snapshot(ctx, customer_id, each, found)
    raise StripeSilentError("Events of the same second arrive faster than Stripe can be asked.")


class StripeSilentError(Exception):
    """Stripe was asked for something and has not answered it."""


async def _asked(asking: Any) -> Any:
    try:
        return await asking
    except PortalError as failure:
        raise StripeSilentError(failure.message) from failure


async def fold_once(ctx: Context, customer_id: int, *, can_ask: bool) -> list[Needed]:
    """Fold a customer in one transaction; what only Stripe can tell first, and then nothing has changed."""
    async with ctx.write() as conn:
        customer = await conn.maybe(statements.customer_locked, _Customer, customer_id=customer_id)
        if customer is None:
            return []
        stored = await _facts(conn, customer)
        if all(fact.handled_at is not None for fact in stored):
            return []
        facts = [fact.fact for fact in stored]
        tenant_id = customer.tenant_id or await _claim(conn, customer, facts)
        if tenant_id is None:
            await _park(conn, customer, ctx.now())
            return []
        facts += await _words_before(conn, ctx, customer, tenant_id, facts)
        state = fold(facts, grace=timedelta(days=ctx.runtime.settings.grace_days), can_ask=can_ask)
        if state.needs_fetch:
            return [_needed(facts, kind, object_id) for kind, object_id in state.needs_fetch]
        handled = [fact.fact for fact in stored if fact.handled_at is not None]
        await project(conn, ctx, Folded(tenant_id, customer.stripe_customer_id, state, handled))
        await _mark(conn, ctx, customer, state, stored)
    metrics.billing_facts.labels("handled").inc(sum(fact.handled_at is None for fact in stored))
    return []


async def known_facts(conn: ReadConnection, customer_id: int) -> list[Fact]:
    """All facts of a customer, handled or not."""
    stored = await conn.many(statements.facts_of_customer, StoredFact, customer_id=customer_id)
    return [fact.fact for fact in stored]


async def store_snapshot(ctx: Context, customer_id: int, needed: Needed, found: Mapping[str, Any] | None) -> None:
    """Store what Stripe has answered as a fact; None where it has no such object."""
    fetched_at = ctx.now().isoformat()
    async with ctx.write() as conn:
        await add_fact(
            conn,
            ctx,
            customer_id,
            source="gateway",
            type=f"{needed.kind}.fetched",
            reference=f"fetched:{needed.object_id}:{fetched_at}",
            object_id=needed.object_id,
            happened_at=needed.known_at,
            payload={"object": found, "covers": needed.covers, "fetched_at": fetched_at},
        )


async def customers_waiting(ctx: Context) -> list[int]:
    """The customers of which something should have been handled by now."""
    await measure(ctx)
    return await _next(ctx, before=ctx.now() - timedelta(seconds=MISSED_SECONDS), max_rows=SWEPT_AT_ONCE)


async def measure(ctx: Context) -> None:
    """Show how much waits, how old the oldest of it is, and how much of it has failed."""
    async with ctx.read() as conn:
        found = await conn.one(inbox.inbox, Inbox)
    age = timedelta() if found.oldest_received_at is None else ctx.now() - found.oldest_received_at
    metrics.billing_waiting.set(found.waiting)
    metrics.billing_oldest.set(max(0.0, age.total_seconds()))
    metrics.billing_failing.set(found.failing)


async def _next(ctx: Context, *, before: datetime, max_rows: int) -> list[int]:
    async with ctx.read() as conn:
        return await conn.many(inbox.waiting_customers, int, now=ctx.now(), before=before, max_rows=max_rows)


async def _facts(conn: WriteConnection, customer: _Customer) -> list[StoredFact]:
    """The customer's facts, and those that only now are known to be its own."""
    stored = await conn.many(statements.facts_of_customer, StoredFact, customer_id=customer.id)
    named = {fact.object_id for fact in stored if fact.object_id and fact.type.startswith(("charge.", "invoice."))}
    batch = as_batch([{"object_id": object_id} for object_id in sorted(named)])
    if named and await conn.rows(statements.adopt_facts, of_customer_id=customer.id, batch=batch):
        stored = await conn.many(statements.facts_of_customer, StoredFact, customer_id=customer.id)
    return stored


async def _claim(conn: WriteConnection, customer: _Customer, facts: Sequence[Fact]) -> int | None:
    """The tenant whose customer it is: by a subscription that is linked to it, or by what Stripe keeps with it."""
    key = {"customer": customer.stripe_customer_id, "customer_id": customer.id}
    tenant_id = await conn.maybe(statements.tenant_by_subscription, int, **key) or named_tenant(facts)
    if tenant_id is None or not await conn.affected(statements.claim, of_id=customer.id, of_tenant_id=tenant_id):
        return None
    return tenant_id


async def _park(conn: WriteConnection, customer: _Customer, now: datetime) -> None:
    reason = "Nobody knows yet which tenant's customer this is."
    await conn.affected(statements.park, of_customer_id=customer.id, reason=reason, next_at=now + FOREVER)


async def _words_before(
    conn: WriteConnection, ctx: Context, customer: _Customer, tenant_id: int, facts: Sequence[Fact]
) -> list[Fact]:
    """What an operator had said before the tenant had a customer here: only that it is suspended still holds."""
    if customer.folded_at is not None or any(fact.source == "operator" for fact in facts):
        return []
    stored = await subscription_as_stored(conn, tenant_id)
    if stored is None or stored.state != "suspended":
        return []
    said = {"tenant_id": tenant_id, "state": "suspended"}
    reference, now = f"suspended:{customer.id}", ctx.now()
    await add_fact(
        conn,
        ctx,
        customer.id,
        source="operator",
        type=OPERATOR_CHANGE,
        reference=reference,
        object_id=None,
        happened_at=now,
        payload=said,
    )
    return [Fact(0, "operator", reference, OPERATOR_CHANGE, None, now, said)]


def _needed(facts: Sequence[Fact], kind: Kind, object_id: str) -> Needed:
    """What was known of an object: a snapshot that is fetched from now on stands above all that."""
    known = [fact for fact in facts if fact.source not in {"operator", "portal"}]
    covers = sorted(fact.reference for fact in known if fact.object_id == object_id)
    return Needed(kind, object_id, max(fact.happened_at for fact in known), tuple(covers))


async def _mark(
    conn: WriteConnection, ctx: Context, customer: _Customer, state: BillingState, stored: Sequence[StoredFact]
) -> None:
    """Mark the facts handled and current, in the transaction of what has followed from them."""
    now, key = ctx.now(), {"of_customer_id": customer.id}
    handled = as_batch([{"id": fact.id} for fact in stored if fact.handled_at is None])
    await conn.affected(statements.mark_handled, **key, batch=handled, now=now)
    current = {fact.id for fact in stored if fact.id in state.current or fact.source in {"operator", "portal"}}
    if current != {fact.id for fact in stored if fact.is_current}:
        batch = as_batch([{"id": fact_id} for fact_id in sorted(current)])
        await conn.affected(statements.mark_current, **key, batch=batch)
    for fact_id, reason in state.unreadable.items():
        await conn.affected(statements.note_unreadable, **key, of_id=fact_id, reason=reason[:MAX_REASON])
    await conn.affected(statements.store_fold, of_id=customer.id, hash=state.hash, now=now)


async def _note_failure(ctx: Context, customer_id: int, reason: str) -> None:
    """Keep why it failed, and when it is tried again: not at all once it has been tried for three days."""
    now = ctx.now()
    async with ctx.write() as conn:
        tried = await conn.one(statements.attempts, _Tried, customer_id=customer_id)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tried.attempts, 16))
        is_given_up = tried.oldest is not None and now - tried.oldest > TRIED_FOR
        next_at = now + (FOREVER if is_given_up else pause)
        key = {"of_customer_id": customer_id}
        await conn.affected(statements.note_failure, **key, reason=reason[:MAX_REASON], next_at=next_at)
    metrics.billing_facts.labels("failed").inc()
    log.warning("billing_facts_failed", customer=customer_id, attempts=tried.attempts + 1, reason=reason)


FOLDS: Final = Errand(FOLD, fold_waiting, customers_waiting, at_once=1, repeats=True)
