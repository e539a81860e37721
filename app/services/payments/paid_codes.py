"""What follows from checkout sessions: codes are made once for what is paid, and taken back for what is given back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import structlog

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.events import Event, EventType, record
from app.services.billing.state import BillingState, PaymentState, SessionState
from app.services.directory.lookup import Tenant
from app.services.licensing.codes import code_rows, store_codes
from sql.statements import folding as statements

# What the sealed codes of a purchase are sealed for.
SEALED_FOR: Final = "purchased codes"
_PAID: Final = frozenset({"paid", "refunded"})

log = structlog.get_logger(__name__)


class Checkout(NamedTuple):
    """What a tenant set out to pay for, as it is stored; ``code_ids`` is JSON."""

    id: int
    kind: str
    state: str
    quantity: int | None
    label: str | None
    amount: int | None
    stripe_session_id: str | None
    stripe_payment_intent_id: str | None
    code_ids: str | None
    amount_refunded: int
    codes_taken_back: int
    codes_kept: int


class _Code(NamedTuple):
    id: int
    hint: str
    use_count: int
    revoked_at: datetime | None


async def follow_sessions(conn: WriteConnection, ctx: Context, tenant: Tenant, state: BillingState) -> None:
    """Bring the tenant's checkouts to where Stripe's sessions and payments are."""
    sessions = [each for each in state.sessions if _is_of(each, tenant)]
    if not sessions and not state.payments:
        return
    found = await _named(conn, tenant, sessions, state.payments)
    for session in sessions:
        checkout = _checkout_of(found, session)
        if checkout is None and session.kind == "codes":
            checkout = await _remember(conn, ctx, tenant, session)
            found.append(checkout)
        if checkout is not None:
            await _follow(conn, ctx, tenant, checkout, session)
    if state.payments:
        # Those that were paid just now are among them, each with its payment.
        for checkout in await _named(conn, tenant, sessions, state.payments):
            for payment in state.payments:
                if checkout.stripe_payment_intent_id == payment.payment_intent_id:
                    await _give_back(conn, ctx, tenant, checkout, payment)


def _is_of(session: SessionState, tenant: Tenant) -> bool:
    """Whether a session is the tenant's, by what the portal has written into it."""
    if session.tenant_id in {None, tenant.id}:
        return True
    log.warning("billing_session_of_another", session=session.stripe_session_id, tenant=tenant.slug)
    return False


async def _named(
    conn: WriteConnection, tenant: Tenant, sessions: Iterable[SessionState], payments: Iterable[PaymentState]
) -> list[Checkout]:
    named: list[Mapping[str, Any]] = [
        {"session_id": each.stripe_session_id, "checkout_id": each.checkout_id} for each in sessions
    ]
    named += [{"payment_intent_id": each.payment_intent_id} for each in payments]
    return await conn.many(statements.named_checkouts, Checkout, tenant_id=tenant.id, batch=as_batch(named))


def _checkout_of(found: Sequence[Checkout], session: SessionState) -> Checkout | None:
    """The row that a session was opened for: by the session, or, if that was never stored, by what it says."""
    for each in found:
        if each.stripe_session_id == session.stripe_session_id:
            return each
    return next((each for each in found if each.id == session.checkout_id and each.stripe_session_id is None), None)


async def _remember(conn: WriteConnection, ctx: Context, tenant: Tenant, session: SessionState) -> Checkout:
    """A row for a session of the portal's that it has no row of."""
    now = ctx.now()
    row = {
        "kind": "codes",
        "state": "open",
        "quantity": session.quantity,
        "label": session.label,
        "amount": session.amount,
        "stripe_session_id": session.stripe_session_id,
    }
    moments = {"created_at": now, "updated_at": now}
    made = {"tenant_id": tenant.id, "currency": session.currency, **moments}
    checkout_id = await conn.one(statements.insert_checkout, int, **row, **made)
    return Checkout(
        checkout_id,
        stripe_payment_intent_id=None,
        code_ids=None,
        amount_refunded=0,
        codes_taken_back=0,
        codes_kept=0,
        **row,  # type: ignore[arg-type]
    )


async def _follow(
    conn: WriteConnection, ctx: Context, tenant: Tenant, checkout: Checkout, session: SessionState
) -> None:
    if checkout.state in _PAID or session.state == "open":
        return
    key, now = {"of_tenant_id": tenant.id, "of_id": checkout.id}, ctx.now()
    if session.state != "paid":
        await conn.affected(statements.end_checkout, **key, outcome=session.state, now=now)
        return
    paid = {"session_id": session.stripe_session_id, "payment_intent_id": session.payment_intent_id}
    is_first = await conn.affected(statements.pay_checkout, **key, **paid, at=session.completed_at, now=now)
    if is_first and checkout.kind == "codes":
        await _make_codes(conn, ctx, tenant, checkout)


async def _make_codes(conn: WriteConnection, ctx: Context, tenant: Tenant, checkout: Checkout) -> None:
    """Make the codes that were paid for; they are kept sealed until the tenant has looked at them."""
    quantity = checkout.quantity or 0
    codes, rows = code_rows(ctx, tenant, quantity, label=checkout.label)
    metadata = {"code_count": quantity, "max_uses": 1, "label": checkout.label, "purchase_id": checkout.id}
    ids = await store_codes(conn, ctx, tenant, rows, metadata)
    sealed = ctx.runtime.keys.seal(orjson.dumps(codes), SEALED_FOR)
    key = {"of_tenant_id": tenant.id, "of_id": checkout.id}
    await conn.affected(statements.keep_codes, **key, sealed=sealed, ids=orjson.dumps(ids).decode(), now=ctx.now())


async def _give_back(
    conn: WriteConnection, ctx: Context, tenant: Tenant, checkout: Checkout, payment: PaymentState
) -> None:
    """Take back as many codes as the part of the payment that is lost; what somebody uses already stays.

    Whoever gets back half of what ten codes cost keeps five, if five are unused.
    """
    if checkout.state not in _PAID:
        return
    amount = checkout.amount or payment.amount
    lost = min(payment.lost, amount)
    quantity = checkout.quantity or 0
    wanted = quantity * lost // amount if amount else quantity
    taken_back, used = await _take_back(conn, ctx, tenant, checkout, wanted)
    outcome = "refunded" if lost >= amount else "paid"
    values = {"outcome": outcome, "refunded": lost, "taken_back": taken_back, "kept": wanted - taken_back}
    before = (checkout.state, checkout.amount_refunded, checkout.codes_taken_back, checkout.codes_kept)
    if before == tuple(values.values()):
        return
    key = {"of_tenant_id": tenant.id, "of_id": checkout.id}
    await conn.affected(statements.give_back, **key, **values, now=ctx.now())
    if taken_back == quantity:
        await conn.affected(statements.forget_refunded_codes, **key)
    what = "disputed" if payment.is_disputed else "refunded"
    metadata = {"purchase_id": checkout.id, **values, "used": [code.hint for code in used]}
    title = f"A purchase of {tenant.name} was {what}: {taken_back} of {quantity} codes taken back"
    await record(conn, ctx, Event(EventType.PURCHASE_REFUNDED, title, tenant_id=tenant.id, metadata=metadata))


async def _take_back(
    conn: WriteConnection, ctx: Context, tenant: Tenant, checkout: Checkout, wanted: int
) -> tuple[int, list[_Code]]:
    """Revoke unused codes until so many are; how many are now, and those that somebody uses."""
    ids = orjson.loads(checkout.code_ids or "[]")
    if not ids or not wanted:
        return 0, []
    batch = as_batch([{"id": code_id} for code_id in ids])
    codes = await conn.many(statements.purchased_codes, _Code, tenant_id=tenant.id, batch=batch)
    unused = [code for code in codes if not code.use_count]
    gone = sum(code.revoked_at is not None for code in unused)
    chosen = [code for code in unused if code.revoked_at is None][: max(0, wanted - gone)]
    if chosen:
        batch = as_batch([{"id": code.id} for code in chosen])
        await conn.affected(statements.take_back_codes, of_tenant_id=tenant.id, batch=batch, now=ctx.now())
    return min(wanted, gone + len(chosen)), [code for code in codes if code.use_count]
