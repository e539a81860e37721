"""Settling calls of models, where a statement may change several tables: reservations, log and accounts at once."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    String,
    and_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    true,
    update,
)

from sql.dialect import batch_rows, chain, json_elements
from sql.dialect import insert as insert_or_leave
from sql.hidden import hidden_too
from sql.levels import PERCENTS, share
from sql.scope import across_tenants
from sql.statements.ledger import cap
from sql.tables import ledger_accounts, ledger_entries, ledger_reservations, llm_calls

_CALL = {
    "tenant_id": BigInteger,
    "project_id": String,
    "run_id": BigInteger,
    "task_id": BigInteger,
    "agent_type": String,
    "agent_id": String,
    "provider": String,
    "model": String,
    "input_tokens": BigInteger,
    "cached_input_tokens": BigInteger,
    "output_tokens": BigInteger,
    "duration_ms": BigInteger,
    "success": Boolean,
    "cached": Boolean,
    "error_message": String,
    "task_description": String,
    "response_preview": String,
    "day": Date,
}
_batch = batch_rows(reservation_id=BigInteger, state=String, kind=String, used_amount=BigInteger, **_CALL)

# Locked in the order of their ids; whoever waited for one that was closed meanwhile gets no row of it.
_open = (
    select(
        ledger_reservations.c.id,
        ledger_reservations.c.request_id,
        ledger_reservations.c.amount,
        func.coalesce(_batch.c.used_amount, ledger_reservations.c.amount).label("used"),
        ledger_reservations.c.accounts,
        ledger_reservations.c.created_at,
        _batch.c.state,
        _batch.c.kind,
        *(_batch.c[name] for name in _CALL),
    )
    .select_from(_batch)
    .join(ledger_reservations, ledger_reservations.c.id == _batch.c.reservation_id)
    .where(ledger_reservations.c.state == literal_column("'open'"))
    .order_by(ledger_reservations.c.id)
    .with_for_update(of=ledger_reservations)
    .cte("open_ones")
)
_of_reservation = json_elements(_open.c.accounts)
_account_id = cast(_of_reservation.c.value, BigInteger)
_moves = (
    select(
        _account_id.label("id"),
        cast(func.sum(_open.c.amount), BigInteger).label("held"),
        cast(func.sum(_open.c.used), BigInteger).label("used"),
    )
    .select_from(_open)
    .join(_of_reservation, true())
    .group_by(_account_id)
    .cte("moves")
)
# Locked in the order of their ids: every other order would deadlock.
_accounts = (
    select(ledger_accounts.c.id, ledger_accounts.c.settled, cap.label("cap"), _moves.c.held, _moves.c.used)
    .select_from(_moves)
    .join(ledger_accounts, ledger_accounts.c.id == _moves.c.id)
    .order_by(ledger_accounts.c.id)
    .with_for_update(of=ledger_accounts)
    .cte("accounts")
)


def _reaches(percent: int) -> ColumnElement[bool]:
    level = share(_accounts.c.cap, literal_column(str(percent), BigInteger))
    return and_(_accounts.c.settled < level, _accounts.c.settled + _accounts.c.used >= level)


_is_told_of = exists().where(_accounts.c.cap > literal_column("0"), or_(*(_reaches(percent) for percent in PERCENTS)))
_plain = select(not_(_is_told_of).label("is_plain")).cte("plain")
_is_plain = select(_plain.c.is_plain).scalar_subquery()

_closed = (
    update(ledger_reservations)
    .where(ledger_reservations.c.id == _open.c.id, _is_plain)
    .values(state=_open.c.state, used=_open.c.used, closed_at=bindparam("now"))
    .returning(ledger_reservations.c.id, ledger_reservations.c.used)
    .cte("closed")
)
_entered = (
    insert(ledger_entries)
    .from_select(
        ["reservation_id", "kind", "reserved_change", "settled_change", "created_at"],
        select(
            _open.c.id,
            _open.c.kind,
            -_open.c.amount,
            _open.c.used,
            bindparam("now", type_=ledger_entries.c.created_at.type),
        ).where(_is_plain),
    )
    .cte("entered")
)
_logged = (
    insert_or_leave(llm_calls)
    .from_select(
        ["request_id", "cost", "created_at", *_CALL],
        select(_open.c.request_id, _open.c.used, _open.c.created_at, *(_open.c[name] for name in _CALL)).where(
            _is_plain
        ),
    )
    .on_conflict_do_nothing(index_elements=[llm_calls.c.request_id])
    .cte("logged")
)
_moved = (
    update(ledger_accounts)
    .where(ledger_accounts.c.id == _accounts.c.id, _is_plain)
    .values(
        reserved=ledger_accounts.c.reserved - _accounts.c.held, settled=ledger_accounts.c.settled + _accounts.c.used
    )
    .cte("moved")
)

# Settles a batch of calls, and returns the reservations that it has closed. If that reaches a level of a cap, it
# changes nothing and says so: then there are alerts to be written as well.
settle_at_once = across_tenants(
    hidden_too(
        chain(
            select(_plain.c.is_plain, _closed.c.id, _closed.c.used)
            .select_from(_plain)
            .outerjoin(_closed, true())
            .add_cte(_entered, _logged, _moved)
        ),
        "a call that was begun for a tenant before its deletion is still paid",
    ),
    "a batch settles calls of several tenants",
)
