"""Enrollment: unknown hardware takes a use of its code, a device row and a seat, several requests in one transaction.

An enrollment is five changes: the code's use, the device, its refresh family, the events, the seat. Each guard is one
conditional statement, so that parallel enrollments can never pass a limit. Requests that wait in the same worker share
those statements; where a guard refuses, the transaction is rolled back and each request is tried by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.database.key_holds import confirm_key_holds
from app.events import Event, EventType, record_each
from app.runtime import Coalesced, Runtime
from app.services.billing.clock import billing_now
from app.services.licensing.token_pairs import Entitlements, RefreshToken, new_refresh_token
from sql.statements import activation, billing, licensing


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """Which hardware a code is to activate for which tenant; code and fingerprint are hashed already.

    ``raw_fingerprint`` is the hash of the fingerprint as it was sent, where that is not how it is compared.
    """

    tenant_slug: str
    code_hash: bytes
    hw_fingerprint: str
    raw_fingerprint: str | None = None

    @property
    def code_key(self) -> tuple[str, bytes]:
        """What tells its code from others."""
        return self.tenant_slug, self.code_hash


class PendingActivation(NamedTuple):
    """An activation request and the context of the call that brought it."""

    ctx: Context
    request: ActivationRequest


class Enrollment(NamedTuple):
    """The tenant, the device, its refresh token, and what the plan grants."""

    tenant_id: int
    device_id: int
    refresh_token: RefreshToken
    entitlements: Entitlements


class _UsedCode(NamedTuple):
    """A code that has had enough uses for all requests of this transaction."""

    id: int
    tenant_id: int
    tenant_slug: str
    code_hash: bytes
    hint: str


class _SeatedSubscription(NamedTuple):
    """A tenant's subscription after this transaction has taken seats of it."""

    tenant_id: int
    state: str
    plan_name: str
    monthly_run_quota: int


class GuardRefusedError(Exception):
    """A guard has refused: the transaction is rolled back, and why is read afterwards."""


async def _enroll(runtime: Runtime, pending: Sequence[PendingActivation]) -> list[Enrollment | None]:
    """Enroll the hardware of each request whose code has a use for it; None for the others, which are decided alone.

    Raises GuardRefusedError when another request has enrolled the hardware or taken the seat meanwhile,
    IdempotencyLostError when a request no longer holds its key; then nothing has changed.
    """
    now, at_billing = runtime.clock.now(), await billing_now(pending[0].ctx)
    # The same hardware twice: once the first request has enrolled it, the second one is about a device of ours.
    distinct = {each.request: each for each in reversed(pending)}
    async with runtime.db.write() as conn:
        codes = await _use_codes(conn, distinct, now, at_billing)
        enrolling = {request: codes[request.code_key] for request in distinct if request.code_key in codes}
        if not enrolling:
            return [None] * len(pending)
        device_ids = await _store_devices(conn, enrolling, now)
        tokens = await _open_families(conn, runtime, enrolling, device_ids, now)
        await record_each(
            conn,
            (
                (distinct[request].ctx.as_device(code.tenant_id, device_ids[request]), event)
                for request, code in enrolling.items()
                for event in _events(code, device_ids[request])
            ),
        )
        entitlements = await take_seats(conn, Counter(code.tenant_id for code in enrolling.values()), at_billing)
        holds = [hold for request in enrolling if (hold := distinct[request].ctx.key_hold)]
        # A device whose answer was lost activates again without a further use and without a further seat.
        await confirm_key_holds(conn, holds, runtime.clock, is_final=False)
    enrollments = {
        request: Enrollment(code.tenant_id, device_ids[request], tokens[request], entitlements[code.tenant_id])
        for request, code in enrolling.items()
    }
    return [enrollments.get(each.request) if distinct[each.request] is each else None for each in pending]


async def enroll_alone(pending: PendingActivation) -> Enrollment | None:
    """Enroll the hardware of one request without waiting for others; None or GuardRefusedError as for a batch."""
    (enrollment,) = await _enroll(pending.ctx.runtime, [pending])
    return enrollment


async def _use_codes(
    conn: WriteConnection, requests: Iterable[ActivationRequest], now: datetime, at_billing: datetime
) -> dict[tuple[str, bytes], _UsedCode]:
    """Take the uses that the requests need; answers the codes that had enough of them."""
    batch = [
        {
            "tenant_slug": request.tenant_slug,
            "code_hash": request.code_hash.hex(),
            "hw_fingerprint": request.hw_fingerprint,
        }
        for request in requests
    ]
    codes = await conn.many(activation.use_codes, _UsedCode, batch=as_batch(batch), now=now, billing_now=at_billing)
    return {(code.tenant_slug, code.code_hash): code for code in codes}


async def _store_devices(
    conn: WriteConnection, enrolling: Mapping[ActivationRequest, _UsedCode], now: datetime
) -> dict[ActivationRequest, int]:
    """Store the devices; answers their ids."""
    batch = [
        {
            "tenant_id": code.tenant_id,
            "hw_fingerprint": request.hw_fingerprint,
            "activation_code_id": code.id,
            "last_seen": now,
            "created_at": now,
        }
        for request, code in enrolling.items()
    ]
    rows = await conn.rows(activation.insert_devices, batch=as_batch(batch))
    if len(rows) != len(enrolling):
        raise GuardRefusedError
    ids = {(row.tenant_id, row.hw_fingerprint): row.id for row in rows}
    return {request: ids[code.tenant_id, request.hw_fingerprint] for request, code in enrolling.items()}


async def _open_families(
    conn: WriteConnection,
    runtime: Runtime,
    enrolling: Mapping[ActivationRequest, _UsedCode],
    device_ids: Mapping[ActivationRequest, int],
    now: datetime,
) -> dict[ActivationRequest, RefreshToken]:
    tokens = {request: new_refresh_token(runtime.keys) for request in enrolling}
    await conn.insert_all(
        licensing.insert_refresh_family,
        [
            family_row(runtime, tokens[request], code.tenant_id, device_ids[request], now)
            for request, code in enrolling.items()
        ],
    )
    return tokens


async def take_seats(conn: WriteConnection, needed: Mapping[int, int], at_billing: datetime) -> dict[int, Entitlements]:
    """Take so many seats of each tenant, the most contended rows of all; answers what each tenant's plan grants.

    Raises GuardRefusedError where a tenant has not enough of them.
    """
    batch = [{"tenant_id": tenant_id, "seats": seats} for tenant_id, seats in needed.items()]
    subscriptions = await conn.many(
        billing.take_seats, _SeatedSubscription, batch=as_batch(batch), billing_now=at_billing
    )
    if len(subscriptions) != len(needed):
        raise GuardRefusedError
    return {each.tenant_id: Entitlements(each.plan_name, each.monthly_run_quota, each.state) for each in subscriptions}


def family_row(
    runtime: Runtime, token: RefreshToken, tenant_id: int, device_id: int, now: datetime
) -> dict[str, object]:
    """The row of a refresh family whose first token this is."""
    return {
        "id": token.family_id,
        "tenant_id": tenant_id,
        "device_id": device_id,
        "token_hash": runtime.keys.refresh_token_hash(token.text),
        "expires_at": now + timedelta(seconds=runtime.settings.refresh_token_seconds),
        "created_at": now,
    }


def code_activated(tenant_id: int, code_id: int, hint: str, device_id: int) -> Event:
    """The event that a code has activated a device."""
    title = f"Code …{hint} activated device {device_id}"
    return Event(EventType.CODE_ACTIVATED, title, tenant_id=tenant_id, code_id=code_id, device_id=device_id)


def _events(code: _UsedCode, device_id: int) -> tuple[Event, Event]:
    activated = code_activated(code.tenant_id, code.id, code.hint, device_id)
    return activated, replace(activated, type=EventType.DEVICE_ENROLLED, title=f"Device {device_id} enrolled")


# One lane: two batches with devices of one tenant would only wait for each other's seats.
ENROLLMENTS = Coalesced("enrollment", _enroll, lanes=1, owner=lambda pending: pending.request.tenant_slug)
