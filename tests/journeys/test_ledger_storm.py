"""The ledger under a storm: four processes move it at random, some are killed, and every cap and every sum holds."""

from __future__ import annotations

import asyncio
import os
import sys
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select, text
from support.databases import settings_for
from support.ledger_storm import BUDGETS, PROJECTS_EACH, SECONDS_HELD, TENANTS
from support.processes import FULL_PROOF

from app.context import Actor, Context
from app.runtime import Runtime
from app.services.ledger.upkeep import verify
from app.services.llm.settlement import close_abandoned_calls
from sql.tables import (
    ledger_accounts,
    ledger_reservations,
    llm_alerts,
    llm_calls,
    plans,
    projects,
    subscriptions,
    system_settings,
    tenants,
)

pytestmark = pytest.mark.processes
SEED = os.environ.get("PORTAL_STORM_SEED", "2027")
OPERATIONS = int(os.environ.get("PORTAL_STORM_OPERATIONS", "10000" if FULL_PROOF else "400"))
PROCESSES = 4
KILLS = 12 if FULL_PROOF else 2
QUOTA = 25
SETTINGS = {
    "id": 1,
    "primary_provider": "gemini",
    "secondary_provider": "openai",
    "tertiary_provider": "anthropic",
    "gemini_model": "g",
    "openai_model": "o",
    "anthropic_model": "a",
    "temperature": 0.7,
    "max_tokens": 100,
    "retries_per_provider": 0,
    "template_learning_enabled": True,
    "cross_validation_enabled": False,
    "cache_enabled": False,
    "min_quality_score": 0,
    "template_min_quality": 0,
    "system_prompt": "",
    "version": 1,
}
# A cap that was replaced may still be the one that a statement had read when it began.
SLACK_SECONDS = 2.0

NOW = {"sqlite": "(julianday('now') - 2440587.5) * 86400.0", "postgresql": "extract(epoch FROM clock_timestamp())"}
BEGAN = {"sqlite": NOW["sqlite"], "postgresql": "extract(epoch FROM now())"}
NOTE_ACCOUNT = (
    "INSERT INTO storm_accounts (account_id, reserved, settled, grown, began, at)"
    " VALUES (new.id, new.reserved, new.settled, new.reserved - old.reserved, {began}, {now})"
)
NOTE_CAP = "INSERT INTO storm_caps (owner, cap, at) VALUES ('{table}:' || new.id, new.{column}, {now})"
NOTES = {
    "ledger_accounts": NOTE_ACCOUNT,
    "projects": NOTE_CAP.format(table="projects", column="monthly_budget_override", now="{now}"),
    "plans": NOTE_CAP.format(table="plans", column="monthly_llm_budget", now="{now}"),
    "system_settings": NOTE_CAP.format(table="month", column="monthly_budget", now="{now}")
    + "; "
    + NOTE_CAP.format(table="day", column="daily_budget", now="{now}"),
}


async def noted(ctx: Context, kind: str) -> None:
    """Have the database note every state that an account and a cap has, in the transaction that makes it."""
    async with ctx.write() as conn:
        number = "INTEGER PRIMARY KEY" if kind == "sqlite" else "BIGSERIAL PRIMARY KEY"
        await conn.affected(
            text(
                f"CREATE TABLE storm_accounts (id {number}, account_id BIGINT, reserved BIGINT, settled BIGINT,"
                " grown BIGINT, began DOUBLE PRECISION, at DOUBLE PRECISION)"
            )
        )
        await conn.affected(text(f"CREATE TABLE storm_caps (id {number}, owner TEXT, cap BIGINT, at DOUBLE PRECISION)"))
        for table, note in NOTES.items():
            body = note.format(now=NOW[kind], began=BEGAN[kind])
            if kind == "sqlite":
                await conn.affected(text(f"CREATE TRIGGER storm_{table} AFTER UPDATE ON {table} BEGIN {body}; END"))
                continue
            await conn.affected(
                text(
                    f"CREATE FUNCTION storm_{table}() RETURNS trigger LANGUAGE plpgsql AS"
                    f" $$ BEGIN {body}; RETURN NULL; END $$"
                )
            )
            await conn.affected(
                text(
                    f"CREATE TRIGGER storm_{table} AFTER UPDATE ON {table}"
                    f" FOR EACH ROW EXECUTE FUNCTION storm_{table}()"
                )
            )


async def peopled(ctx: Context) -> None:
    """Tenants with a plan each, and projects, none of them with a cap yet."""
    now = ctx.now()
    budgets = {"monthly_budget": BUDGETS.monthly, "daily_budget": BUDGETS.daily}
    moments = {"created_at": now, "updated_at": now}
    async with ctx.write() as conn:
        await conn.affected(system_settings.insert(), **SETTINGS, **budgets, updated_at=now)
        for number in range(1, TENANTS + 1):
            plan = {"name": f"Plan {number}", "stripe_price_id": f"price_{number}", "monthly_run_quota": QUOTA}
            plan_id = await conn.one(plans.insert().returning(plans.c.id), int, **plan, **moments)
            tenant = {"name": f"Tenant {number}", "slug": f"tenant-{number}"}
            tenant_id = await conn.one(tenants.insert().returning(tenants.c.id), int, **tenant, **moments)
            assert (plan_id, tenant_id) == (number, number)
            await conn.affected(subscriptions.insert(), tenant_id=tenant_id, plan_id=plan_id, state="active", **moments)
            for each in range(1, PROJECTS_EACH + 1):
                project_id = f"project-{(number - 1) * PROJECTS_EACH + each}"
                row = {"project_id": project_id, "tenant_id": tenant_id, "name": project_id, "created_by": "storm"}
                await conn.affected(projects.insert(), **row, **moments)


class Storm:
    """The processes, of which some are killed and replaced by others."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._draw = Random(SEED)
        self._started = 0
        self.printed: list[bytes] = []

    async def run(self) -> None:
        """All operations, and all kills."""
        each = OPERATIONS // PROCESSES
        kills = [0] * PROCESSES
        for number in range(KILLS):
            kills[number % PROCESSES] += 1
        await asyncio.gather(*(self._place(each, count) for count in kills))

    async def _place(self, operations: int, kills: int) -> None:
        """One process after the other; each but the last is killed while it works."""
        for killed in range(kills + 1):
            last = killed == kills
            process = await self._begin(operations if last else 10 * operations)
            if not last:
                await asyncio.sleep(1.5 + self._draw.random() * 2)
                process.kill()
            output, errors = await process.communicate()
            # The last line of a process that was killed may have been cut.
            self.printed += output[: output.rfind(b"\n") + 1].splitlines()
            assert last is (process.returncode == 0), errors.decode()[-2000:]

    async def _begin(self, operations: int) -> asyncio.subprocess.Process:
        self._started += 1
        arguments = [self._url, str(self._folder), f"{SEED}/{self._started}", str(operations)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.ledger_storm",
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


def caps_at(history: list[tuple[float, int | None]], began: float, at: float) -> list[int | None]:
    """The caps that were in force at some moment between these two."""
    starts = [start for start, _ in history]
    last = bisect_right(starts, at)
    return [
        cap
        for place, (_, cap) in enumerate(history[:last])
        if place + 1 == len(history) or history[place + 1][0] + SLACK_SECONDS >= began
    ]


async def passed_caps(ctx: Context) -> list[str]:
    """Reservations after which an account held more than any cap that was in force."""
    async with ctx.read() as conn:
        accounts = {row.id: row for row in await conn.rows(select(ledger_accounts))}
        states = await conn.rows(text("SELECT account_id, reserved, settled, grown, began, at FROM storm_accounts"))
        notes = await conn.rows(text("SELECT owner, cap, at FROM storm_caps ORDER BY id"))
        numbers = {row.project_id: row.id for row in await conn.rows(select(projects.c.project_id, projects.c.id))}
    history: dict[str, list[tuple[float, int | None]]] = defaultdict(lambda: [(0.0, None)])
    history |= {"month:1": [(0.0, BUDGETS.monthly)], "day:1": [(0.0, BUDGETS.daily)]}
    for owner, cap, at in notes:
        history[owner].append((float(at), cap))
    passed = []
    for account_id, reserved, settled, grown, began, at in states:
        if grown <= 0:
            continue
        account = accounts[account_id]
        caps: list[int | None] = [None]
        if account.unit == "runs":
            caps = [QUOTA]
        elif account.level == "installation":
            caps = caps_at(history[f"{account.period}:1"], float(began), float(at))
        elif account.level == "tenant":
            caps = caps_at(history[f"plans:{account.tenant_id}"], float(began), float(at))
        elif account.level == "project":
            caps = caps_at(history[f"projects:{numbers[account.project_id]}"], float(began), float(at))
        if None not in caps and reserved + settled > max(cap for cap in caps if cap is not None):
            passed.append(f"{account.key}: {reserved} + {settled} of {caps}")
    return passed


async def test_no_cap_is_passed_and_nothing_is_lost(database: str, tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}, {OPERATIONS} operations of {PROCESSES} processes, {KILLS} killed\n")
    kind = database.partition("+")[0]
    runtime = Runtime(settings_for(database, tmp_path))
    ctx = Context(runtime, Actor("system", "storm"))
    try:
        await noted(ctx, kind)
        await peopled(ctx)
        storm = Storm(database, tmp_path)
        await storm.run()
        await asyncio.sleep(SECONDS_HELD)
        swept = await close_abandoned_calls(ctx)

        assert await passed_caps(ctx) == []
        proof = await verify(ctx)
        assert proof.is_right, proof
        async with ctx.read() as conn:
            still_open = select(ledger_reservations.c.id).where(
                ledger_reservations.c.state == "open", ledger_reservations.c.unit == "money"
            )
            assert await conn.rows(still_open) == []
            stored = {row.id for row in await conn.rows(select(ledger_reservations.c.id))}
            states = dict(
                await conn.rows(select(ledger_reservations.c.state, func.count()).group_by(ledger_reservations.c.state))
            )
            # Each has one row of the log, which costs what it has used; and some levels of caps were reached.
            closed = select(ledger_reservations.c.request_id, ledger_reservations.c.used).where(
                ledger_reservations.c.state != "open", ledger_reservations.c.unit == "money"
            )
            logged = select(llm_calls.c.request_id, llm_calls.c.cost)
            assert sorted(map(tuple, await conn.rows(logged))) == sorted(map(tuple, await conn.rows(closed)))
            assert await conn.rows(select(llm_alerts.c.id).limit(1))
        # What a process has said after its commit is there, and the storm was one.
        told = {int(line.split()[1]) for line in storm.printed if line.startswith((b"reserved", b"run"))}
        assert told <= stored
        assert all(states.get(state, 0) > OPERATIONS // 100 for state in ("settled", "released", "unconfirmed")), states
        sys.stdout.write(f"{states}, of these {swept} by the sweep\n")
    finally:
        await runtime.close()
