"""What the leader does for the ledger: closing reservations of dead holders, and proving that accounts are right."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

import structlog

from app.context import Context
from app.services.ledger.settlements import Closing, Settle
from app.services.ledger.waiting import lines_of
from sql.statements import ledger as statements

# A holder that has not written a heartbeat for so long is dead, as for the durable engine.
DEAD_AFTER = timedelta(seconds=20)
AT_ONCE = 200
MAX_REPORTED = 100

log = structlog.get_logger(__name__)


class DifferentAccount(NamedTuple):
    """An account that is not the sum of its reservations: by how much it has too much."""

    id: int
    reserved_too_many: int
    settled_too_many: int


class DifferentReservation(NamedTuple):
    """A reservation whose entries do not come to what it says: what they come to."""

    id: int
    reserved: int
    settled: int


class Proof(NamedTuple):
    """What a proof has found; nothing, where the ledger is right."""

    accounts: list[DifferentAccount]
    reservations: list[DifferentReservation]
    # How many accounts there are.
    compared: int

    @property
    def is_right(self) -> bool:
        """Whether nothing differs."""
        return not self.accounts and not self.reservations


async def verify(ctx: Context) -> Proof:
    """Compare every account with its reservations, and every reservation with its entries, each in one statement."""
    async with ctx.read() as conn:
        accounts = await conn.many(statements.accounts_that_differ, DifferentAccount, max_rows=MAX_REPORTED)
        reservations = await conn.many(statements.reservations_that_differ, DifferentReservation, max_rows=MAX_REPORTED)
        compared = await conn.one(statements.number_of_accounts, int)
    return Proof(accounts, reservations, compared)


async def check_ledger(ctx: Context) -> Mapping[str, object]:
    """The proof as a schedule runs it: what differs is logged, and nothing is mended silently."""
    proof = await verify(ctx)
    for account in proof.accounts:
        log.error("ledger_account_differs", **account._asdict())
    for reservation in proof.reservations:
        log.error("ledger_reservation_differs", **reservation._asdict())
    return {"accounts": proof.compared, "differences": len(proof.accounts) + len(proof.reservations)}


async def close_abandoned(ctx: Context, settle: Settle) -> Mapping[str, object]:
    """Close the reservations whose holder is gone as unconfirmed: what they held counts as used."""
    now = ctx.now()
    moments = {"now": now, "alive_since": now - DEAD_AFTER}
    closed = 0
    while True:
        async with ctx.read() as reader:
            ids = await reader.many(statements.abandoned, int, **moments, max_rows=AT_ONCE)
        for reservation_id in ids:
            closed += len(await settle(ctx, [Closing(reservation_id, "unconfirmed", None)]))
        if ids:
            lines_of(ctx).settled()
        if len(ids) < AT_ONCE:
            return {"unconfirmed": closed}
