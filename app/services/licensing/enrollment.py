"""Admission: unknown hardware takes a use of its code, a device row and a seat, many applicants in one transaction.

An admission is five changes: the code's use, the device, its refresh family, the events, the seat. Each guard is one
conditional statement, so that parallel admissions can never pass a limit. Applicants that wait in the same worker
share those statements; where a guard refuses, the transaction is rolled back and each is tried by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.database.key_holds import confirm_claims
from app.events import Event, EventType, record_each
from app.runtime import Coalesced, Runtime
from app.services.licensing.token_pairs import Entitlements, RefreshToken, new_refresh_token
from sql.statements import activation, billing, licensing


@dataclass(frozen=True, slots=True)
class Application:
    """Who wants to activate what, with the secrets already hashed."""

    tenant_slug: str
    code_hash: bytes
    hw_fingerprint: str


class Applicant(NamedTuple):
    """An application and who brings it."""

    ctx: Context
    applied: Application


class Admission(NamedTuple):
    """The tenant, the device, its refresh token, and what the plan grants."""

    tenant_id: int
    device_id: int
    tokens: RefreshToken
    granted: Entitlements


class _ClaimedCode(NamedTuple):
    """A code of which this transaction has taken all the uses it wants."""

    id: int
    tenant_id: int
    tenant_slug: str
    code_hash: bytes
    hint: str


class _GrantedSeats(NamedTuple):
    """What a tenant's subscription grants to the devices that have taken its seats."""

    tenant_id: int
    state: str
    plan_name: str
    monthly_run_quota: int


class GuardRefusedError(Exception):
    """Rolls the transaction back; the reason is found afterwards."""


async def _admit(runtime: Runtime, applicants: Sequence[Applicant]) -> list[Admission | None]:
    """Admit all whose code gives the uses they want; None for the others, which must be looked at.

    Raises GuardRefusedError when hardware has become known or a seat was lost meanwhile, IdempotencyLostError when
    somebody's key was; then nothing is changed.
    """
    now = runtime.clock.now()
    # The same hardware twice: the second one is known hardware as soon as the first is admitted.
    distinct = {applicant.applied: applicant for applicant in reversed(applicants)}
    async with runtime.db.write() as conn:
        claimed = await _claim(conn, distinct, now)
        admissible = {applied: claimed[code] for applied in distinct if (code := _code(applied)) in claimed}
        if not admissible:
            return [None] * len(applicants)
        device_ids = await _enrol(conn, admissible, now)
        tokens = await _open_families(conn, runtime, admissible, device_ids, now)
        await record_each(
            conn,
            (
                (distinct[applied].ctx, event)
                for applied, code in admissible.items()
                for event in _events(code, device_ids[applied])
            ),
        )
        granted = await _take_seats(conn, admissible.values())
        claims = [claim for applied in admissible if (claim := distinct[applied].ctx.claim)]
        # Who activates again, for want of the answer, needs no further use and no further seat.
        await confirm_claims(conn, claims, runtime.clock, is_final=False)
    admitted = {
        applied: Admission(code.tenant_id, device_ids[applied], tokens[applied], granted[code.tenant_id])
        for applied, code in admissible.items()
    }
    return [
        admitted.get(applicant.applied) if distinct[applicant.applied] is applicant else None
        for applicant in applicants
    ]


async def admit_alone(applicant: Applicant) -> Admission | None:
    """Admit one without waiting for others; None or GuardRefusedError where a guard refuses, as for a batch."""
    (admission,) = await _admit(applicant.ctx.runtime, [applicant])
    return admission


async def _claim(
    conn: WriteConnection, applications: Iterable[Application], now: datetime
) -> dict[tuple[str, bytes], _ClaimedCode]:
    """The codes that gave all the uses that are wanted of them."""
    batch = [
        {
            "tenant_slug": applied.tenant_slug,
            "code_hash": applied.code_hash.hex(),
            "hw_fingerprint": applied.hw_fingerprint,
        }
        for applied in applications
    ]
    claimed = await conn.many(activation.claim_codes, _ClaimedCode, batch=as_batch(batch), now=now)
    return {(code.tenant_slug, code.code_hash): code for code in claimed}


async def _enrol(
    conn: WriteConnection, admissible: Mapping[Application, _ClaimedCode], now: datetime
) -> dict[Application, int]:
    """Store the devices; answers their ids."""
    batch = [
        {
            "tenant_id": code.tenant_id,
            "hw_fingerprint": applied.hw_fingerprint,
            "activation_code_id": code.id,
            "last_seen": now,
            "created_at": now,
        }
        for applied, code in admissible.items()
    ]
    stored = await conn.rows(activation.insert_devices, batch=as_batch(batch))
    if len(stored) != len(admissible):
        raise GuardRefusedError
    ids = {(row.tenant_id, row.hw_fingerprint): row.id for row in stored}
    return {applied: ids[code.tenant_id, applied.hw_fingerprint] for applied, code in admissible.items()}


async def _open_families(
    conn: WriteConnection,
    runtime: Runtime,
    admissible: Mapping[Application, _ClaimedCode],
    device_ids: Mapping[Application, int],
    now: datetime,
) -> dict[Application, RefreshToken]:
    tokens = {applied: new_refresh_token(runtime.keys) for applied in admissible}
    await conn.insert_all(
        licensing.insert_refresh_family,
        [
            family_row(runtime, tokens[applied], code.tenant_id, device_ids[applied], now)
            for applied, code in admissible.items()
        ],
    )
    return tokens


async def _take_seats(conn: WriteConnection, codes: Iterable[_ClaimedCode]) -> dict[int, Entitlements]:
    """Take a seat for each device, the most contended rows of all; answers what each tenant's plan grants."""
    needed = Counter(code.tenant_id for code in codes)
    batch = [{"tenant_id": tenant_id, "seats": seats} for tenant_id, seats in needed.items()]
    granted = await conn.many(billing.take_seats, _GrantedSeats, batch=as_batch(batch))
    if len(granted) != len(needed):
        raise GuardRefusedError
    return {seats.tenant_id: Entitlements(seats.plan_name, seats.monthly_run_quota, seats.state) for seats in granted}


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


def _events(code: _ClaimedCode, device_id: int) -> tuple[Event, Event]:
    used = code_activated(code.tenant_id, code.id, code.hint, device_id)
    return used, replace(used, type=EventType.DEVICE_ENROLLED, title=f"Device {device_id} enrolled")


def _code(applied: Application) -> tuple[str, bytes]:
    return applied.tenant_slug, applied.code_hash


# One lane: applicants of one tenant would only wait for each other's seats.
ADMISSIONS = Coalesced("admission", _admit, lanes=1)
