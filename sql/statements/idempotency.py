"""Idempotency keys: holding a key, storing the answer under it, deleting expired ones."""

from __future__ import annotations

from sqlalchemy import DateTime, LargeBinary, and_, bindparam, delete, not_, or_, select, update

from sql.dialect import batch_rows, insert
from sql.holds import is_over
from sql.removal import some_of
from sql.tables import idempotent_answers

_columns = idempotent_answers.c
_insert = insert(idempotent_answers).values(
    key_hash=bindparam("key_hash"),
    request_hash=bindparam("request_hash"),
    held_until=bindparam("held_until"),
    expires_at=bindparam("expires_at"),
    created_at=bindparam("now"),
)

# Takes a key that is unused, that has expired, or whose hold has run out before its request finished its work or stored
# an answer. Otherwise it changes no row.
hold_key = _insert.on_conflict_do_update(
    index_elements=[_columns.key_hash],
    set_={
        "request_hash": _insert.excluded.request_hash,
        "sealed_answer": None,
        "held_until": _insert.excluded.held_until,
        "is_done": False,
        "expires_at": _insert.excluded.expires_at,
        "created_at": _insert.excluded.created_at,
    },
    where=or_(
        _columns.expires_at <= bindparam("now"),
        and_(_columns.sealed_answer.is_(None), not_(_columns.is_done), is_over(_columns.held_until)),
    ),
)

answer_of_key = select(
    _columns.request_hash,
    _columns.sealed_answer,
    and_(_columns.is_done, is_over(_columns.held_until)).label("is_lost"),
).where(_columns.key_hash == bindparam("key_hash"))

# Matches only the hold of this request: if a repeat has taken the key over, no row matches.
_own_hold = and_(
    _columns.key_hash == bindparam("of_key_hash"),
    _columns.created_at == bindparam("of_created_at"),
    _columns.sealed_answer.is_(None),
)

# Extends the hold while the request still runs.
renew_hold = update(idempotent_answers).where(_own_hold).values(held_until=bindparam("new_held_until"))

_holds = batch_rows(key_hash=LargeBinary, created_at=DateTime)

# Returns the holds that are still valid. A repeat that tries to take one over waits until this transaction has ended.
confirm_key_holds = (
    update(idempotent_answers)
    .where(
        _columns.key_hash == _holds.c.key_hash,
        _columns.created_at == _holds.c.created_at,
        _columns.sealed_answer.is_(None),
    )
    .values(held_until=bindparam("new_held_until"), is_done=bindparam("is_final"))
    .returning(_columns.key_hash)
)

keep_answer = update(idempotent_answers).where(_own_hold).values(sealed_answer=bindparam("sealed_answer"))

release_key = delete(idempotent_answers).where(_own_hold, not_(_columns.is_done))

delete_expired_answers = some_of(idempotent_answers, _columns.expires_at <= bindparam("now"))
