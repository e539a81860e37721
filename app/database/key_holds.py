"""The right to do what was asked under an Idempotency-Key, confirmed by the transaction that does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.clock import Clock
from app.database.connections import WriteConnection, as_batch
from app.errors import IdempotencyLostError
from sql.statements import idempotency


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer under a key, until somebody takes it over."""

    key_hash: bytes
    claimed_at: datetime
    hold: timedelta
    cipher: AESGCM


async def confirm_claims(
    conn: WriteConnection, claims: Sequence[Claim], clock: Clock, *, is_final: bool = True
) -> None:
    """The last statement of a transaction: all that was done in it was done under keys that are still ours.

    Whoever stood still for longer than a claim is held is taken for dead, and somebody else does the same anew: then
    raises IdempotencyLostError. Until the transaction has ended whoever would take a key over waits for it, and finds
    it done and held anew, for the time in which the answer is kept. What is not ``is_final`` may be done anew where its
    answer was lost, because it then creates nothing more.
    """
    if not claims:
        return
    new_held_until = clock.now() + max(claim.hold for claim in claims)
    batch = [{"key_hash": claim.key_hash.hex(), "created_at": claim.claimed_at} for claim in claims]
    confirmed = await conn.rows(
        idempotency.confirm_claims, batch=as_batch(batch), new_held_until=new_held_until, is_final=is_final
    )
    if len(confirmed) != len(claims):
        raise IdempotencyLostError(retry_after=1)
