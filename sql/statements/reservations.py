"""Reserving for many at a time: each gets its amount on all of its accounts, or none of the batch gets anything."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Text, cast, func, insert, literal, or_, select, update

from sql.dialect import batch_rows, chain, json_elements
from sql.hidden import hidden_too
from sql.scope import across_tenants
from sql.statements.ledger import cap
from sql.tables import ledger_accounts, ledger_entries, ledger_reservations
from sql.tables.columns import Instant

_REASON = "an account is named by its id, and one of the installation belongs to no tenant"
_BEGUN = "a call that was begun for a tenant before its deletion may still be paid"

_holds = batch_rows(
    request_id=String,
    unit=String,
    amount=BigInteger,
    accounts=Text,
    executor_id=String,
    deadline=Instant,
    details=Text,
    created_at=Instant,
)
_of_hold = json_elements(_holds.c.accounts)
_account_id = cast(_of_hold.c.value, BigInteger)
# What the whole batch needs of each account.
_needs = (
    select(_account_id.label("id"), cast(func.sum(_holds.c.amount), BigInteger).label("amount"))
    .select_from(_holds)
    .join(_of_hold, literal(value=True))
    .group_by(_account_id)
    .cte("needs")
)
# The accounts, locked in the order of their ids: every other order would deadlock.
_locked = (
    select(
        ledger_accounts.c.id,
        (ledger_accounts.c.reserved + ledger_accounts.c.settled).label("used"),
        cap.label("cap"),
        _needs.c.amount,
    )
    .select_from(_needs)
    .join(ledger_accounts, ledger_accounts.c.id == _needs.c.id)
    .order_by(ledger_accounts.c.id)
    .with_for_update(of=ledger_accounts)
    .cte("locked")
)
_fitting = (
    select(func.count())
    .select_from(_locked)
    .where(or_(_locked.c.cap.is_(None), _locked.c.used + _locked.c.amount <= _locked.c.cap))
    .scalar_subquery()
)
_all_fit = select((select(func.count()).select_from(_needs).scalar_subquery() == _fitting).label("fit")).cte("all_fit")
_it_fits = select(_all_fit.c.fit).scalar_subquery()

# Holds what the batch needs on all of its accounts, or nothing if it does not fit one of them; returns those it moved,
# because SQLite does not count the rows of an UPDATE that begins with WITH.
hold_on_accounts = across_tenants(
    hidden_too(
        update(ledger_accounts)
        .where(ledger_accounts.c.id == _locked.c.id, _it_fits)
        .values(reserved=ledger_accounts.c.reserved + _locked.c.amount)
        .returning(ledger_accounts.c.id),
        _BEGUN,
    ),
    _REASON,
)

_columns = [*_holds.c.keys(), "state"]
# Returns them by the callers' own ids.
insert_reservations = (
    insert(ledger_reservations)
    .from_select(_columns, select(_holds, literal("open").label("state")))
    .returning(ledger_reservations.c.request_id, ledger_reservations.c.id)
)

_inserted = (
    insert(ledger_reservations)
    .from_select(_columns, select(_holds, literal("open").label("state")).where(_it_fits))
    .returning(ledger_reservations.c.request_id, ledger_reservations.c.id, ledger_reservations.c.amount)
    .cte("inserted")
)
_entered = (
    insert(ledger_entries)
    .from_select(
        ["reservation_id", "kind", "reserved_change", "settled_change", "created_at"],
        select(_inserted.c.id, literal("reserve"), _inserted.c.amount, literal(0), _holds.c.created_at)
        .select_from(_inserted)
        .join(_holds, _holds.c.request_id == _inserted.c.request_id),
    )
    .cte("entered")
)

# The same with the reservations and their entries in one statement, where a statement may change several tables;
# returns the reservations, and nothing if they do not fit.
reserve_at_once = across_tenants(
    hidden_too(
        chain(
            select(_inserted.c.request_id, _inserted.c.id).add_cte(_entered).add_cte(hold_on_accounts.cte("moved")),
        ),
        _BEGUN,
    ),
    _REASON,
)
