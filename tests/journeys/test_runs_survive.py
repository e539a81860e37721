"""Runs survive whatever is killed or stands still: all of it is there in the end, and nothing happened twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from support.jobs import FULL
from support.live import LiveServer
from support.run_workers import RunWorkers
from support.runs import events_of, files_of, must_hold, ready_project, run_row, started, tasks_of

SEED = int(os.environ.get("PORTAL_RUN_SEED", "2027"))
KILLS = 20 if FULL else 2
# Far longer than a run takes; only a failing test waits for it.
PATIENCE = 120.0
OBJECTIVES = "REST API for books with title and author" + ("\nSearch books by title\nDelete books" if FULL else "")


async def ended(live: LiveServer, run_id: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await run_row(live, run_id)).state == "running":  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.1)


async def must_be_whole(live: LiveServer, run_id: int) -> None:
    """The run is completed, each task was ended once, and every file of its manifest is there, unharmed."""
    row = await run_row(live, run_id)
    assert row.state == "completed", [(task.key, task.error) for task in await tasks_of(live, run_id) if task.error]
    await must_hold(live, run_id)
    begun = Counter(event.task_id for event in await events_of(live, run_id) if event.kind == "task_started")
    assert begun == {task.id: task.attempt for task in await tasks_of(live, run_id)}
    files = await files_of(live, run_id)
    assert files
    for file in files:
        content = await live.runtime.artifacts.get(run_id, file.sha256, file.size)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


@pytest.mark.processes
async def test_all_processes_are_killed_at_random_moments(
    sanic_client: LiveServer, database: str, tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    print(f"seed {SEED}: PORTAL_RUN_SEED={SEED} repeats it")  # noqa: T201 - for whoever asks with -s
    _, mine, project_id = await ready_project(sanic_client, objectives=OBJECTIVES)
    settings = sanic_client.runtime.settings
    run_id = await started(sanic_client, mine, project_id)
    kills = 0
    async with RunWorkers(settings.database_url.get_secret_value(), settings.state_dir).ready() as workers:
        await workers.fork(2)
        for _ in range(KILLS):
            before = (await run_row(sanic_client, run_id)).events
            async with asyncio.timeout(PATIENCE):
                # Something has moved since the last kill, or the run never comes to its end.
                while (await run_row(sanic_client, run_id)).events == before:
                    if (await run_row(sanic_client, run_id)).state != "running":
                        break
                    await asyncio.sleep(0.02)
            await asyncio.sleep(draw.uniform(0, 0.3))
            workers.kill_all()
            kills += 1
            if (await run_row(sanic_client, run_id)).state != "running":
                break
            await workers.fork(2)
        if not workers.pids:
            await workers.fork(2)
        await ended(sanic_client, run_id)
    await must_be_whole(sanic_client, run_id)
    print(f"{kills} kills, {len(await tasks_of(sanic_client, run_id))} tasks")  # noqa: T201


@pytest.mark.processes
async def test_a_process_that_stands_still_is_taken_for_dead_and_comes_back(sanic_client: LiveServer) -> None:
    _, mine, project_id = await ready_project(sanic_client, objectives=OBJECTIVES)
    settings = sanic_client.runtime.settings
    run_id = await started(sanic_client, mine, project_id)
    async with RunWorkers(settings.database_url.get_secret_value(), settings.state_dir).ready() as workers:
        await workers.fork(1)
        async with asyncio.timeout(PATIENCE):
            while not any(task.status == "running" for task in await tasks_of(sanic_client, run_id)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (standing,) = workers.pids
        workers.signal(signal.SIGSTOP, standing)
        await workers.fork(1)
        await ended(sanic_client, run_id)
        workers.signal(signal.SIGCONT, standing)
        await asyncio.sleep(0.5)
    await must_be_whole(sanic_client, run_id)
