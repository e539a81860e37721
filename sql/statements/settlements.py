"""Closing reservations, many with one statement each: once, with their entries, and their accounts moved."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, bindparam, func, insert, select, update

from sql.dialect import batch_rows
from sql.hidden import hidden_too
from sql.scope import across_tenants
from sql.statements.ledger import cap
from sql.tables import ledger_accounts, ledger_entries, ledger_reservations
from sql.tables.columns import Instant

_REASON = "an account is named by its id, and one of the installation belongs to no tenant"
_BEGUN = "a call that was begun for a tenant before its deletion is still paid"

_closings = batch_rows(reservation_id=BigInteger, state=String, used_amount=BigInteger)
# Locked in the order of their ids: two who close the same ones wait for each other and do not deadlock. Whoever waited
# finds them closed, and gets no row.
_open = (
    select(ledger_reservations.c.id, _closings.c.state, _closings.c.used_amount)
    .select_from(_closings)
    .join(ledger_reservations, ledger_reservations.c.id == _closings.c.reservation_id)
    .where(ledger_reservations.c.state == "open")
    .order_by(ledger_reservations.c.id)
    .with_for_update(of=ledger_reservations)
    .cte("open_ones")
)
# Only the first of those who close a reservation gets its row.
close_reservations = (
    update(ledger_reservations)
    .where(ledger_reservations.c.id == _open.c.id)
    .values(
        state=_open.c.state,
        used=func.coalesce(_open.c.used_amount, ledger_reservations.c.amount),
        closed_at=bindparam("now"),
    )
    .returning(
        ledger_reservations.c.id,
        ledger_reservations.c.request_id,
        ledger_reservations.c.state,
        ledger_reservations.c.amount,
        ledger_reservations.c.used,
        ledger_reservations.c.accounts,
        ledger_reservations.c.details,
        ledger_reservations.c.created_at,
    )
)

_entries = batch_rows(
    reservation_id=BigInteger, kind=String, reserved_change=BigInteger, settled_change=BigInteger, created_at=Instant
)
insert_entries = insert(ledger_entries).from_select(list(_entries.c.keys()), select(_entries))

_chosen = batch_rows(id=BigInteger)
# The accounts as they are before they are moved, locked in the order of their ids: every other order would deadlock.
accounts_locked = across_tenants(
    hidden_too(
        select(
            ledger_accounts.c.id,
            ledger_accounts.c.key,
            ledger_accounts.c.level,
            ledger_accounts.c.tenant_id,
            ledger_accounts.c.project_id,
            ledger_accounts.c.period,
            ledger_accounts.c.starts_on,
            ledger_accounts.c.settled,
            cap.label("cap"),
        )
        .select_from(_chosen)
        .join(ledger_accounts, ledger_accounts.c.id == _chosen.c.id)
        .order_by(ledger_accounts.c.id)
        .with_for_update(of=ledger_accounts),
        _BEGUN,
    ),
    _REASON,
)

_moves = batch_rows(id=BigInteger, held=BigInteger, used=BigInteger)
# Takes back what was held, and adds what was used.
move_accounts = across_tenants(
    update(ledger_accounts)
    .where(ledger_accounts.c.id == _moves.c.id)
    .values(reserved=ledger_accounts.c.reserved - _moves.c.held, settled=ledger_accounts.c.settled + _moves.c.used),
    _REASON,
)
