"""Processes that call models are killed at any moment: each attempt is paid once and has one row of the log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest
from support.clocks import MovableClock
from support.databases import is_setting
from support.fake_llm import FakeModels
from support.model_calls import Calling, process_that_calls
from support.processes import FULL_PROOF

from app.services.llm.settlement import LOST, close_abandoned_calls

pytestmark = pytest.mark.processes
SEED = os.environ.get("PORTAL_STORM_SEED", "2027")
KILLS = 50 if FULL_PROOF else 3


async def killed(database: str, folder: Path, calling: Calling, project_id: str) -> None:
    """Start a caller and kill it, so many times, at moments that the seed chooses."""
    draw = Random(SEED)
    environment = {
        **{name: value for name, value in os.environ.items() if not is_setting(name)},
        **calling.fake.settings,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    callers = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.llm_caller",
        *(database, str(folder), project_id),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert callers.stdin is not None
    assert callers.stdout is not None
    try:
        for _ in range(KILLS):
            left = sum(held.state == "open" for held in await calling.reservations())
            callers.stdin.write(b"\n")
            pid = int(await callers.stdout.readline())
            await calling.until_it_holds(left + 1)
            await asyncio.sleep(draw.random() * 0.5)
            os.kill(pid, signal.SIGKILL)
    finally:
        callers.kill()
        await callers.wait()


async def test_a_killed_caller_loses_nothing(database: str, tmp_path: Path, fake_llm: FakeModels) -> None:
    sys.stdout.write(f"seed {SEED}, {KILLS} killed\n")
    clock = MovableClock()
    async with process_that_calls(database, tmp_path, fake_llm, clock) as process:
        calling = await Calling.prepared(process.ctx, process.fake, "openai")
        model = calling.models["openai"]
        await calling.fake.standing(model, delay=0.1)
        owner = await calling.project()
        assert owner.project_id is not None
        await killed(database, tmp_path, calling, owner.project_id)
        held = await calling.reservations()
        unfinished = [each for each in held if each.state == "open"]
        assert unfinished
        assert (await close_abandoned_calls(calling.ctx)) == {"unconfirmed": 0}

        clock.move(hours=1)
        assert (await close_abandoned_calls(calling.ctx)) == {"unconfirmed": len(unfinished)}

        await calling.proved()
        lost = [row for row in await calling.rows() if row.error_message == LOST]
        assert {row.request_id for row in lost} == {each.request_id for each in unfinished}
        assert {(row.project_id, row.provider, row.model) for row in lost} == {(owner.project_id, "openai", model)}
        # Nothing has arrived that is not paid.
        paid = [each for each in await calling.reservations() if each.used]
        assert len(await calling.fake.arrived(model)) <= len(paid)
