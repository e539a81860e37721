"""A process that moves the ledger at random, for a test that starts several and kills some of them.

    python -m support.ledger_storm DATABASE_URL FOLDER SEED OPERATIONS

Every reservation that succeeded and every one that this process has closed is printed as a line, after its commit.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import timedelta
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
from app.services.llm.settlement import Settlement, close_abandoned_calls, settle_call
from app.services.llm.usage_log import Caller, LoggedCall, details_of
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
        self._open: list[tuple[int, Hold | None]] = []

    async def move(self) -> None:
        """One move: mostly reserving and closing."""
        kind = self._draw.choices(("reserve", "run", "close", "forget", "cap", "sweep"), weights=(40, 15, 38, 2, 4, 1))[
            0
        ]
        await getattr(self, f"_{kind}")()

    async def _reserve(self) -> None:
        """One reservation, or some that share a transaction."""
        holds = [await self._hold() for _ in range(self._draw.choice((1, 1, 1, 2, 5)))]
        ends = await asyncio.gather(*(reserve(self._ctx, hold, BUDGETS) for hold in holds), return_exceptions=True)
        for hold, end in zip(holds, ends, strict=True):
            if isinstance(end, int):
                self._open.append((end, hold))
                print("reserved", end, hold.amount, flush=True)
            elif not isinstance(end, DoesNotFitError):
                raise end

    async def _hold(self) -> Hold:
        draw, ctx = self._draw, self._ctx
        tenant = draw.randint(1, TENANTS)
        project = (tenant - 1) * PROJECTS_EACH + draw.randint(1, PROJECTS_EACH)
        run = (project - 1) * RUNS_EACH + draw.randint(1, RUNS_EACH)
        owner = Owner(tenant, f"project-{project}", project, run)
        ids = await account_ids(ctx, money_accounts(owner, ctx.today()))
        return Hold(
            uuid.UUID(int=draw.getrandbits(128)).hex,
            "money",
            draw.randint(1, 900),
            ids,
            ctx.now(),
            deadline=ctx.now() + timedelta(seconds=SECONDS_HELD),
            details=details_of(Caller(owner, "coder"), "openai", "gpt-4o"),
        )

    async def _run(self) -> None:
        ctx, tenant = self._ctx, self._draw.randint(1, TENANTS)
        (account_id,) = await account_ids(ctx, [run_account(tenant, ctx.month().first_day)])
        try:
            async with ctx.write() as conn:
                request_id = uuid.UUID(int=self._draw.getrandbits(128)).hex
                reservation_id = await reserve_run(conn, ctx, tenant, account_id, request_id)
        except QuotaExceededError:
            return
        self._open.append((reservation_id, None))
        print("run", reservation_id, 1, flush=True)

    async def _close(self) -> None:
        """Settle one, or some that share a transaction; now and then one of them twice."""
        chosen = []
        for _ in range(min(len(self._open), self._draw.choice((1, 1, 1, 2, 5)))):
            held = self._open.pop(self._draw.randrange(len(self._open)))
            chosen += [held] * self._draw.choice((1, 1, 1, 2))
        await asyncio.gather(*(self._settle(*held) for held in chosen))
        for reservation_id, _ in chosen:
            print("closed", reservation_id, flush=True)

    async def _settle(self, reservation_id: int, hold: Hold | None) -> None:
        if hold is None:
            await settle(self._ctx, [Closing(reservation_id, "released", 0)], BUDGETS)
            return
        amount = hold.amount
        end: End = self._draw.choices(("settled", "released", "unconfirmed"), weights=(8, 3, 1))[0]
        # Now and then a provider reports more than was reserved.
        spent = self._draw.randint(0, amount // 20)
        if self._draw.random() < 0.03:
            spent = amount + self._draw.randint(1, 50)
        closing = Closing(reservation_id, end, {"settled": spent, "released": 0, "unconfirmed": None}[end])
        call = LoggedCall(error=None if end == "settled" else "storm")
        await settle_call(self._ctx, Settlement(closing, call, hold.details or {}, hold.created_at))

    async def _forget(self) -> None:
        """A holder that never comes back."""
        held = [each for each in self._open if each[1] is not None]
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
        await close_abandoned_calls(self._ctx)


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
        await runtime.drain()
        await runtime.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
