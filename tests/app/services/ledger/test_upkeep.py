"""The proof of the ledger: right after every kind of end, and wrong where somebody has changed a row."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import update
from support.live import LiveServer
from support.rows import change

from app.services.ledger.accounts import Owner, account_ids, money_accounts
from app.services.ledger.reservations import DefaultBudgets, Hold, reserve
from app.services.ledger.settlements import Closing, settle
from app.services.ledger.upkeep import check_ledger, verify
from sql.tables import ledger_accounts, ledger_entries, ledger_reservations

BUDGETS = DefaultBudgets(monthly=1_000, daily=1_000)


async def moved(live: LiveServer) -> None:
    """One reservation of each end, and one that is open."""
    ctx = live.ctx
    ids = await account_ids(ctx, money_accounts(Owner(), ctx.today()))
    for end, used in (("settled", 30), ("released", 0), ("unconfirmed", None), (None, None)):
        reservation_id = await reserve(ctx, Hold(uuid.uuid4().hex, "money", 100, ids, ctx.now()), BUDGETS)
        if end is None:
            continue
        closings = [Closing(reservation_id, end, used)]  # type: ignore[arg-type]
        assert [len(await settle(ctx, closings, BUDGETS)) for _ in range(2)] == [1, 0]


async def test_every_end_leaves_the_accounts_right(sanic_client: LiveServer) -> None:
    await moved(sanic_client)

    proof = await verify(sanic_client.ctx)
    assert (proof.is_right, proof.compared) == (True, 2)
    async with sanic_client.ctx.read() as conn:
        balances = {(row.reserved, row.settled) for row in await conn.rows(ledger_accounts.select())}
    assert balances == {(100, 130)}
    assert await check_ledger(sanic_client.ctx) == {"accounts": 2, "differences": 0}


@pytest.mark.parametrize(
    ("statement", "accounts", "reservations"),
    [
        (update(ledger_accounts).where(ledger_accounts.c.period == "day").values(settled=131), 1, 0),
        (update(ledger_accounts).values(reserved=99), 2, 0),
        (update(ledger_reservations).where(ledger_reservations.c.state == "settled").values(used=29), 2, 1),
        (ledger_entries.delete().where(ledger_entries.c.kind == "release"), 0, 1),
    ],
    ids=["one account", "what is reserved", "a reservation", "an entry"],
)
async def test_what_somebody_has_changed_is_found(
    sanic_client: LiveServer, statement: object, accounts: int, reservations: int
) -> None:
    await moved(sanic_client)
    await change(sanic_client, statement)

    proof = await verify(sanic_client.ctx)

    assert (len(proof.accounts), len(proof.reservations)) == (accounts, reservations)
    assert (await check_ledger(sanic_client.ctx))["differences"] == accounts + reservations
