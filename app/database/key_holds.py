"""Holds on idempotency keys: the transaction that does a request's work confirms that the request still has its key."""

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
class KeyHold:
    """The exclusive right of one request to its key; it ends when ``duration`` passes without a renewal."""

    key_hash: bytes
    held_since: datetime
    duration: timedelta
    cipher: AESGCM


async def confirm_key_holds(
    conn: WriteConnection, holds: Sequence[KeyHold], clock: Clock, *, is_final: bool = True
) -> None:
    """Check, as the last statement of a transaction, that its requests still hold their keys.

    If a request stalls for longer than its hold lasts, a repeat of it may take the key over; then this raises
    IdempotencyLostError, so that the transaction rolls back. A repeat that arrives while this transaction commits waits
    for it, and then finds the key marked as done. With ``is_final`` False the key is not marked: if the answer is lost,
    a repeat may run again, because it would create nothing new.
    """
    if not holds:
        return
    new_held_until = clock.now() + max(hold.duration for hold in holds)
    batch = [{"key_hash": hold.key_hash.hex(), "created_at": hold.held_since} for hold in holds]
    rows = await conn.rows(
        idempotency.confirm_key_holds, batch=as_batch(batch), new_held_until=new_held_until, is_final=is_final
    )
    if len(rows) != len(holds):
        raise IdempotencyLostError(retry_after=1)
