"""Answers of models that are kept: finding one, holding a question while it is asked, keeping its answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Executable, Select, and_, bindparam, case, delete, func, not_, or_, select, update

from sql.dialect import insert
from sql.hidden import hidden_too
from sql.holds import is_on, is_over
from sql.scope import across_tenants
from sql.tables import model_answers

_columns = model_answers.c
_of_tenant_id = bindparam("of_tenant_id", type_=_columns.tenant_id.type)
# What is no tenant's is the installation's. The tenant is part of what the key is a hash of, too.
_is_of_tenant = or_(_columns.tenant_id == _of_tenant_id, and_(_columns.tenant_id.is_(None), _of_tenant_id.is_(None)))

# Not too old, and not judged worse than what is wanted by now.
_is_served = and_(
    _columns.text.is_not(None),
    _columns.answered_at > bindparam("kept_since"),
    or_(_columns.score.is_(None), _columns.score >= bindparam("minimum_score")),
)
_is_judged = or_(_columns.score.is_not(None), not_(bindparam("needs_score", type_=Boolean)))
_is_free = or_(_columns.held_until.is_(None), is_over(_columns.held_until))

# The text is null where none may be served.
answer_by_key = select(
    case((_is_served, _columns.text), else_=None).label("text"),
    _columns.score,
    _columns.reason,
    _columns.judge_provider,
    _columns.judge_model,
    is_on(_columns.held_until).label("is_held"),
).where(_is_of_tenant, _columns.key_hash == bindparam("key_hash"))

_hold = insert(model_answers).values(
    {
        name: bindparam(name, type_=_columns[name].type)
        for name in ("key_hash", "tenant_id", "project_id", "holder", "held_until")
    }
)
# What belongs to a text that is served stays with it; of any other text nothing is left.
_OF_THE_TEXT = ("project_id", "text", "answered_at", "score", "reason", "judge_provider", "judge_model")

# Takes a question that nobody asks and that has no answer, or none that is judged where that is wanted. Otherwise it
# changes no row. Returns the text that is to be judged, or null.
hold_question = _hold.on_conflict_do_update(
    index_elements=[_columns.key_hash],
    set_={
        **{name: case((_is_served, _columns[name]), else_=_hold.excluded[name]) for name in _OF_THE_TEXT},
        "holder": _hold.excluded.holder,
        "held_until": _hold.excluded.held_until,
    },
    where=and_(_is_of_tenant, _is_free, not_(and_(_is_served, _is_judged))),
).returning(_columns.text)

_is_own = and_(_is_of_tenant, _columns.key_hash == bindparam("of_key_hash"), _columns.holder == bindparam("of_holder"))

renew_question = update(model_answers).where(_is_own).values(held_until=bindparam("until"))

# The age of a text that was kept before is not that of its judgement.
keep_answer = (
    update(model_answers)
    .where(_is_own)
    .values(
        text=bindparam("new_text"),
        answered_at=func.coalesce(_columns.answered_at, bindparam("now", type_=_columns.answered_at.type)),
        score=bindparam("new_score"),
        reason=bindparam("new_reason"),
        judge_provider=bindparam("new_judge_provider"),
        judge_model=bindparam("new_judge_model"),
        holder=None,
        held_until=None,
    )
)

drop_question = delete(model_answers).where(_is_own)

_old = (
    select(_columns.key_hash)
    .where(_columns.answered_at <= bindparam("kept_since"))
    .order_by(_columns.answered_at)
    .limit(bindparam("max_rows"))
)
# What a process that has died has left without a text.
_unanswered = (
    select(_columns.key_hash)
    .where(_columns.text.is_(None), is_over(_columns.held_until))
    .order_by(_columns.held_until)
    .limit(bindparam("max_rows"))
)


def _delete(rows: Select[Any]) -> Executable:
    statement = delete(model_answers).where(_columns.key_hash.in_(rows))
    reason = "retention removes the old answers of all tenants"
    return hidden_too(across_tenants(statement, reason), reason)


delete_old_answers = _delete(_old)
delete_unanswered = _delete(_unanswered)
