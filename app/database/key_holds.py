"""The hold on an Idempotency-Key under which a request does its work, confirmed by the transaction that does it."""

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
    """The right of one request to do its work under a key, until ``duration`` has passed without a renewal."""

    key_hash: bytes
    held_since: datetime
    duration: timedelta
    cipher: AESGCM


async def confirm_key_holds(
    conn: WriteConnection, holds: Sequence[KeyHold], clock: Clock, *, is_final: bool = True
) -> None:
    """Check, as the last statement of a transaction, that the requests it works for still hold their keys.

    A request that was stopped for longer than its hold lasts counts as dead, and a repeat of it may have taken the key:
    then raises IdempotencyLostError, and nothing is committed. A repeat that comes while this transaction ends waits
    for it, and then finds the key marked done. With ``is_final`` False the key is not marked: a repeat may run
    again where the answer was lost, because it then creates nothing more.
    """
    if not holds:
        return
    new_held_until = clock.now() + max(hold.duration for hold in holds)
    batch = [{"key_hash": hold.key_hash.hex(), "created_at": hold.held_since} for hold in holds]
    confirmed = await conn.rows(
        idempotency.confirm_key_holds, batch=as_batch(batch), new_held_until=new_held_until, is_final=is_final
    )
    if len(confirmed) != len(holds):
        raise IdempotencyLostError(retry_after=1)
