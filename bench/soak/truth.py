"""What must be true once a soak has stopped, whatever was killed meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select
from support.processes import ServerProcess
from support.runs import must_hold, run_row

from app.services.upkeep.statistics import check_statistics
from sql.tables import activation_codes, billing_facts, devices, subscriptions, usage_events, usage_rollups

PATIENCE_SECONDS = 300.0
PROOFS = ("verify-ledger", "verify-audit")


async def faults_of(
    server: ServerProcess, acknowledged: Iterable[str], runs: Sequence[int], delivered: int
) -> list[str]:
    """A sentence for everything that is not as it must be; waits first until work that was begun has ended."""
    faults = [
        *await _unfinished(server, runs),
        *await _seats(server),
        *await _codes(server),
        *await _usage(server, set(acknowledged)),
        *await _payments(server, delivered),
    ]
    if differences := (await check_statistics(server.ctx))["differences"]:
        faults.append(f"{differences} kept figures differ from what counting gives")
    for proof in PROOFS:
        told = await asyncio.to_thread(_command, server, proof)
        if told.returncode:
            faults.append(f"portal {proof}: {told.stdout[-300:]}{told.stderr[-300:]}")
    faults += [f"the log has request_failed: {event}" for event in server.events("request_failed")[:5]]
    return faults


async def _unfinished(server: ServerProcess, runs: Sequence[int]) -> list[str]:
    # The tests' own checks of a run; they ask for no more of a server than this one has.
    live: Any = server
    found = []
    ends = time.monotonic() + PATIENCE_SECONDS
    for run_id in runs:
        while (await run_row(live, run_id)).state == "running" and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    # Only now: while another one runs, its reservation is held.
    for run_id in runs:
        try:
            await must_hold(live, run_id)
        except AssertionError as fault:
            found.append(f"run {run_id} is not whole: {_line_of(fault)}")
    return found


def _line_of(fault: AssertionError) -> str:
    """The line of the check that does not hold."""
    return str(traceback.extract_tb(fault.__traceback__)[-1].line)


async def _seats(server: ServerProcess) -> list[str]:
    held = (
        select(func.count())
        .where(devices.c.tenant_id == subscriptions.c.tenant_id, devices.c.seat_held)
        .scalar_subquery()
    )
    async with server.ctx.read() as conn:
        rows = await conn.rows(select(subscriptions.c.tenant_id, subscriptions.c.seats_used, held.label("holding")))
    return [
        f"tenant {row.tenant_id}: {row.seats_used} seats counted, {row.holding} devices hold one"
        for row in rows
        if row.seats_used != row.holding
    ]


async def _codes(server: ServerProcess) -> list[str]:
    over = select(activation_codes.c.id).where(activation_codes.c.use_count > activation_codes.c.max_uses)
    async with server.ctx.read() as conn:
        return [f"code {code_id} is over its uses" for code_id in await conn.many(over, int)]


async def _usage(server: ServerProcess, acknowledged: set[str]) -> list[str]:
    async with server.ctx.read() as conn:
        stored = Counter(await conn.many(select(usage_events.c.event_id), str))
        total = select(func.coalesce(func.sum(usage_events.c.quantity), 0)).scalar_subquery()
        rolled = select(func.coalesce(func.sum(usage_rollups.c.quantity), 0)).scalar_subquery()
        ((events, sums),) = await conn.rows(select(total, rolled))
    faults = []
    if lost := acknowledged - stored.keys():
        faults.append(f"{len(lost)} acknowledged events are not stored")
    if any(count > 1 for count in stored.values()):
        faults.append("an event is stored twice")
    if events != sums:
        faults.append(f"events have {events} units, the sums {sums}")
    return faults


async def _payments(server: ServerProcess, delivered: int) -> list[str]:
    waiting = select(func.count()).select_from(billing_facts).where(billing_facts.c.handled_at.is_(None))
    stored = select(func.count()).select_from(billing_facts)
    failed = select(billing_facts.c.failure).where(billing_facts.c.failure.is_not(None)).limit(3)
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        async with server.ctx.read() as conn:
            left, found = await conn.one(waiting, int), await conn.one(stored, int)
            failures = await conn.many(failed, str)
        if not left or time.monotonic() > ends:
            break
        await asyncio.sleep(0.5)
    faults = [f"an event of Stripe failed: {failure}" for failure in failures]
    if left:
        faults.append(f"{left} events of Stripe were not handled")
    if found < delivered:
        faults.append(f"{delivered} events of Stripe were delivered, {found} are stored")
    return faults


def _command(server: ServerProcess, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", name], env=server.environment, capture_output=True, text=True, check=False
    )
