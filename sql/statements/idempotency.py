"""Idempotency keys: who holds one, the answer that is kept under it, and what has passed its age."""

from __future__ import annotations

from sqlalchemy import DateTime, LargeBinary, and_, bindparam, delete, not_, or_, select, update

from sql.dialect import batch_rows, insert
from sql.tables import idempotent_answers

_columns = idempotent_answers.c
_claimed = insert(idempotent_answers).values(
    key_hash=bindparam("key_hash"),
    request_hash=bindparam("request_hash"),
    held_until=bindparam("held_until"),
    expires_at=bindparam("expires_at"),
    created_at=bindparam("now"),
)

# A free key, one whose answer has passed its age, or one whose holder has neither done it nor answered in time; else no
# row.
claim_key = _claimed.on_conflict_do_update(
    index_elements=[_columns.key_hash],
    set_={
        "request_hash": _claimed.excluded.request_hash,
        "sealed_answer": None,
        "held_until": _claimed.excluded.held_until,
        "is_done": False,
        "expires_at": _claimed.excluded.expires_at,
        "created_at": _claimed.excluded.created_at,
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

# The claim of this very request: a holder that was too slow finds its key taken over, and touches nothing.
_own_claim = and_(
    _columns.key_hash == bindparam("of_key_hash"),
    _columns.created_at == bindparam("of_created_at"),
    _columns.sealed_answer.is_(None),
)

# Longer, while its holder still works.
renew_claim = update(idempotent_answers).where(_own_claim).values(held_until=bindparam("new_held_until"))

_claims = batch_rows(key_hash=LargeBinary, created_at=DateTime)

# Those of these claims that are still their holders'; whoever would take one over waits for the end of the transaction.
confirm_claims = (
    update(idempotent_answers)
    .where(
        _columns.key_hash == _claims.c.key_hash,
        _columns.created_at == _claims.c.created_at,
        _columns.sealed_answer.is_(None),
    )
    .values(held_until=bindparam("new_held_until"), is_done=bindparam("is_final"))
    .returning(_columns.key_hash)
)

keep_answer = update(idempotent_answers).where(_own_claim).values(sealed_answer=bindparam("sealed_answer"))

release_key = delete(idempotent_answers).where(_own_claim, not_(_columns.is_done))

delete_expired_answers = delete(idempotent_answers).where(_columns.expires_at <= bindparam("now"))
