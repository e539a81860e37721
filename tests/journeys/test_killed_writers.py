"""Processes that store files are killed at any moment: what was accepted is there, and nothing half written is read."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest
from support.databases import settings_for
from support.file_writer import RUN
from support.processes import FULL_PROOF

from app.providers.artifacts import Artifacts

pytestmark = pytest.mark.processes
SEED = os.environ.get("PORTAL_STORM_SEED", "2027")
KILLS = 50 if FULL_PROOF else 5


async def killed(folder: Path, number: int, draw: Random) -> set[tuple[str, int]]:
    """Start a writer and kill it; answers what the store had accepted from it by then."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.file_writer",
        *(str(folder), f"{SEED}-{number}"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert writer.stdout is not None
    first = await writer.stdout.readline()
    reading = asyncio.create_task(writer.stdout.read())
    await asyncio.sleep(draw.random() * 0.3)
    os.kill(writer.pid, signal.SIGKILL)
    told = first + await reading
    await writer.wait()
    lines = [line.split() for line in told.decode().splitlines(keepends=True) if line.endswith("\n")]
    return {(sha256, int(size)) for sha256, size in lines}


async def test_a_killed_writer_leaves_only_whole_files(tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}, {KILLS} killed\n")
    draw, accepted = Random(SEED), set()
    for number in range(KILLS):
        accepted |= await killed(tmp_path, number, draw)
    artifacts = Artifacts(settings_for("sqlite+aiosqlite:////nowhere/portal.db", tmp_path))

    listed = {(found.sha256, found.size) async for page in artifacts.list(RUN) for found in page}

    assert accepted <= listed
    assert len(accepted) >= KILLS
    # Reading one compares its content with its name.
    for sha256, size in listed:
        assert len(await artifacts.get(RUN, sha256, size)) == size
    while await artifacts.delete_run(RUN):
        pass
    # What the killed ones had begun is gone as well.
    assert not (tmp_path / "artifacts" / "runs" / str(RUN)).exists()
    artifacts.close()
