"""The inbox: an event of Stripe's is verified, stored once by its id, and answered; an errand handles it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from app.context import Context
from app.database.connections import ReadConnection
from app.errors import MalformedBodyError, NotFoundError, PayloadTooLargeError
from app.providers.stripe import verified_event
from app.services.billing.fact_log import FOLD
from app.services.billing.facts import KINDS, metadata_of, number_in, reference_to
from app.settings import Settings
from app.telemetry import metrics
from sql.statements import inbox as statements

# Far more than Stripe sends; what is larger is no event.
MAX_EVENT_BYTES: Final = 1_048_576
MAX_NAME: Final = 255
MAX_TYPE: Final = 100
# Objects that name no customer, and the member by which another object is named that does.
_NAMED_BY: Final = {"dispute": "charge", "invoice_payment": "invoice"}


@dataclass(frozen=True, slots=True)
class Received:
    """The event is stored, now or before."""

    ok: bool = True


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event is of another mode or another account than the portal's: nothing follows from it."""

    ignored: bool = True


class _Told(NamedTuple):
    """An event as it is stored, and whose it is as far as it says so."""

    row: Mapping[str, Any]
    customer: str | None
    payment_intent_id: str | None
    tenant_id: int | None
    is_of_interest: bool
    # Of an object that names no customer: it waits until another event says whose its object is.
    is_named_by_another: bool


async def receive(ctx: Context, body: bytes, signature: str | None) -> Received | Ignored:
    """Store an event; it is answered before it is handled.

    Raises NotFoundError where no secret is configured, PayloadTooLargeError, WebhookSignatureError, MalformedBodyError.
    """
    if not (secrets := ctx.runtime.webhook_secrets):
        raise NotFoundError
    if len(body) > MAX_EVENT_BYTES:
        raise PayloadTooLargeError(limit=MAX_EVENT_BYTES)
    event = await verified_event(body, signature, secrets)
    told = _told(event, body.decode(), ctx.now())
    if not _is_ours(ctx.runtime.settings, event):
        metrics.billing_events.labels("ignored").inc()
        return Ignored()
    customer_id, is_new = await _store(ctx, told)
    metrics.billing_events.labels("stored" if is_new else "repeated").inc()
    if is_new and customer_id is not None:
        ctx.runtime.enqueue(FOLD, customer_id)
    return Received()


def _is_ours(settings: Settings, event: Mapping[str, Any]) -> bool:
    """Whether an event is of the mode of the portal's key, and not of an account that is connected to Stripe's."""
    if event.get("account") is not None:
        return False
    key = settings.stripe_secret_key.get_secret_value()
    if not key and not settings.simulates_stripe:
        return True
    return bool(event.get("livemode")) is ("_live_" in key)


def _told(event: Mapping[str, Any], payload: str, received_at: datetime) -> _Told:
    """Raises MalformedBodyError."""
    data = event.get("data")
    found = data.get("object") if isinstance(data, Mapping) else None
    created = event.get("created")
    if not isinstance(found, Mapping) or isinstance(created, bool) or not isinstance(created, int):
        raise MalformedBodyError(reason="it is no event of Stripe: it has no object or no time")
    if not 0 <= created < 2**33:
        raise MalformedBodyError(reason="its time is none")
    kind = str(found.get("object"))
    object_id = reference_to(found.get(_NAMED_BY.get(kind, "id")))
    customer = reference_to(found.get("customer")) if kind != "customer" else object_id
    if customer is None and isinstance(previous := data.get("previous_attributes"), Mapping):  # type: ignore[union-attr]
        # A means of payment that is the customer's no longer.
        customer = reference_to(previous.get("customer"))
    names = {"reference": event["id"], "type": event["type"], "object_id": object_id}
    for name, value in (*names.items(), ("customer", customer)):
        limit = MAX_TYPE if name == "type" else MAX_NAME
        if value is not None and not (0 < len(value) <= limit and value.isascii() and value.isprintable()):
            raise MalformedBodyError(reason=f"its {name} is none of Stripe's")
    row = {
        **names,
        "happened_at": datetime.fromtimestamp(created, UTC),
        "payload": payload,
        "received_at": received_at,
    }
    intent, tenant_id = reference_to(found.get("payment_intent")), number_in(metadata_of(found), "tenant_id")
    is_of_interest = kind in KINDS and object_id is not None
    return _Told(row, customer, intent, tenant_id, is_of_interest, is_of_interest and kind in _NAMED_BY)


async def _store(ctx: Context, told: _Told) -> tuple[int | None, bool]:
    """The row of the customer whose event it is, if any is known, and whether the event is new."""
    if told.is_of_interest and told.customer is not None:
        async with ctx.write_autocommit() as conn:
            customer_id = await conn.maybe(statements.insert_event, int, customer=told.customer, **told.row)
        if customer_id is not None:
            return customer_id, True
    async with ctx.write() as conn:
        customer_id = None
        handled_at: datetime | None = ctx.now()
        if told.is_of_interest:
            if told.customer is not None:
                row = {"stripe_customer_id": told.customer, "created_at": ctx.now()}
                await conn.affected(statements.insert_customer, **row)
                customer_id = await conn.one(statements.customer_by_name, int, customer=told.customer)
                handled_at = None
            else:
                customer_id = await _looked_up(conn, told)
                handled_at = None if customer_id is not None or told.is_named_by_another else handled_at
        row = {**told.row, "customer_id": customer_id, "handled_at": handled_at}
        return customer_id, await conn.maybe(statements.insert_event_of, int, **row) is not None


async def _looked_up(conn: ReadConnection, told: _Told) -> int | None:
    names = {"object_id": told.row["object_id"], "payment_intent_id": told.payment_intent_id}
    found = await conn.one(statements.customer_by_object, int, **names, named_tenant_id=told.tenant_id)
    return found or None
