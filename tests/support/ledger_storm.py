"""A process that moves the ledger at random, for a test that starts several and kills some of them.

    python -m support.ledger_storm DATABASE_URL FOLDER SEED OPERATIONS

Every reservation that succeeded and every one that this process has closed is printed as a line, after its commit.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

from sqlalchemy import select, update
from support.databases import settings_for

from app.context import Actor, Context
from app.errors import DatabaseUnavailableError, QuotaExceededError
from app.runtime import Runtime
from app.services.ledger.accounts import Owner, account_ids, money_accounts, run_account
from app.services.ledger.reservations import (
    DefaultBudgets,
    DoesNotFitError,
    Hold,
    reserve,
)
from app.services.ledger.run_quota import reserve_run
from app.services.ledger.settlements import Closing, End, settle
from app.services.ledger.upkeep import close_abandoned
from sql.tables import ledger_accounts, plans, projects, system_settings

TENANTS, PROJECTS_EACH, RUNS_EACH = 3, 2, 2
BUDGETS = DefaultBudgets(monthly=4_000, daily=3_000)
# How much more than what is settled the caps allow meanwhile, by level; None is no cap.
ROOM = {"installation": (2_500, 3_500, 4_500), "tenant": (None, 1_800, 2_600), "project": (None, 1_000, 1_800)}
SECONDS_HELD = 2


class Storm:
    """Random moves, the same for the same seed as far as the other processes let it."""

    def __init__(self, ctx: Context, seed: str) -> None:
        self._ctx = ctx
        self._draw = Random(seed)
        self._open: list[tuple[int, int]] = []

    async def move(self) -> None:
        """One move: mostly reserving and closing."""
        kind = self._draw.choices(("reserve", "run", "close", "forget", "cap", "sweep"), weights=(40, 15, 38, 2, 4, 1))[
            0
        ]
        await getattr(self, f"_{kind}")()

    async def _reserve(self) -> None:
        draw, ctx = self._draw, self._ctx
        tenant = draw.randint(1, TENANTS)
        project = (tenant - 1) * PROJECTS_EACH + draw.randint(1, PROJECTS_EACH)
        run = (project - 1) * RUNS_EACH + draw.randint(1, RUNS_EACH)
        ids = await account_ids(ctx, money_accounts(Owner(tenant, f"project-{project}", project, run), ctx.today()))
        amount = draw.randint(1, 900)
        deadline = ctx.now() + timedelta(seconds=SECONDS_HELD)
        hold = Hold(uuid.UUID(int=draw.getrandbits(128)).hex, "money", amount, ids, deadline=deadline)
        try:
            async with ctx.write() as conn:
                reservation_id = await reserve(conn, hold, BUDGETS, ctx.now())
        except DoesNotFitError:
            return
        self._open.append((reservation_id, amount))
        print("reserved", reservation_id, amount, flush=True)

    async def _run(self) -> None:
        ctx, tenant = self._ctx, self._draw.randint(1, TENANTS)
        (account_id,) = await account_ids(ctx, [run_account(tenant, ctx.month().first_day)])
        try:
            async with ctx.write() as conn:
                request_id = uuid.UUID(int=self._draw.getrandbits(128)).hex
                reservation_id = await reserve_run(conn, ctx, tenant, account_id, request_id)
        except QuotaExceededError:
            return
        self._open.append((reservation_id, 0))
        print("run", reservation_id, 1, flush=True)

    async def _close(self) -> None:
        if not self._open:
            return
        reservation_id, amount = self._open.pop(self._draw.randrange(len(self._open)))
        if not amount:
            end: End = "released"
            used: int | None = 0
        else:
            end = self._draw.choices(("settled", "released", "unconfirmed"), weights=(8, 3, 1))[0]
            # Now and then a provider reports more than was reserved.
            spent = self._draw.randint(0, amount // 20)
            if self._draw.random() < 0.03:
                spent = amount + self._draw.randint(1, 50)
            used = {"settled": spent, "released": 0, "unconfirmed": None}[end]
        for _ in range(self._draw.choice((1, 1, 1, 2))):
            await settle(self._ctx, [Closing(reservation_id, end, used)], BUDGETS)
        print("closed", reservation_id, flush=True)

    async def _forget(self) -> None:
        """A holder that never comes back."""
        held = [each for each in self._open if each[1]]
        if held:
            self._open.remove(self._draw.choice(held))

    async def _cap(self) -> None:
        """Another cap for one account, near what is settled there, so that reservations contend for the rest."""
        level = self._draw.choice(tuple(ROOM))
        room = self._draw.choice(ROOM[level])
        async with self._ctx.write() as conn:
            accounts = await conn.rows(select(ledger_accounts).where(ledger_accounts.c.level == level))
            if not accounts:
                return
            account = self._draw.choice(accounts)
            cap = None if room is None else account.settled + room
            if level == "installation":
                column = "daily_budget" if account.period == "day" else "monthly_budget"
                await conn.affected(update(system_settings).values({column: cap}))
            elif level == "tenant":
                # Each tenant has a plan of its own, with its own number.
                changed = update(plans).where(plans.c.id == account.tenant_id)
                await conn.affected(changed.values(monthly_llm_budget=cap))
            else:
                changed = update(projects).where(projects.c.project_id == account.project_id)
                await conn.affected(changed.values(monthly_budget_override=cap))

    async def _sweep(self) -> None:
        await close_abandoned(self._ctx, partial(settle, budgets=BUDGETS))


async def main(url: str, folder: str, seed: str, operations: str) -> None:
    """So many moves."""
    runtime = Runtime(settings_for(url, Path(folder)))
    storm = Storm(Context(runtime, Actor("system", "storm")), seed)
    try:
        for _ in range(int(operations)):
            try:
                await storm.move()
            except DatabaseUnavailableError as failure:
                # Two processes on one SQLite file may wait for each other for too long.
                print("unavailable", failure, file=sys.stderr, flush=True)
    finally:
        await runtime.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
