"""Idempotency keys: who holds one, the answer that is kept under it, and what has passed its age."""

from __future__ import annotations

from sqlalchemy import DateTime, LargeBinary, and_, bindparam, delete, not_, or_, select, update

from sql.dialect import batch_rows, insert
from sql.tables import idempotent_answers

_columns = idempotent_answers.c
_insert = insert(idempotent_answers).values(
    key_hash=bindparam("key_hash"),
    request_hash=bindparam("request_hash"),
    held_until=bindparam("held_until"),
    expires_at=bindparam("expires_at"),
    created_at=bindparam("now"),
)

# Takes a key that is free, whose answer has passed its age, or whose request has neither done its work nor answered in
# time; else it touches no row.
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
        and_(_columns.sealed_answer.is_(None), not_(_columns.is_done), _columns.held_until <= bindparam("now")),
    ),
)

answer_of_key = select(
    _columns.request_hash,
    _columns.sealed_answer,
    and_(_columns.is_done, _columns.held_until <= bindparam("now")).label("is_lost"),
).where(_columns.key_hash == bindparam("key_hash"))

# The hold of this very request: where a repeat has taken the key over, nothing matches.
_own_hold = and_(
    _columns.key_hash == bindparam("of_key_hash"),
    _columns.created_at == bindparam("of_created_at"),
    _columns.sealed_answer.is_(None),
)

# Prolonged while the request still works.
renew_hold = update(idempotent_answers).where(_own_hold).values(held_until=bindparam("new_held_until"))

_holds = batch_rows(key_hash=LargeBinary, created_at=DateTime)

# The holds that still stand. A repeat that would take one over waits for the end of this transaction.
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

delete_expired_answers = delete(idempotent_answers).where(_columns.expires_at <= bindparam("now"))
