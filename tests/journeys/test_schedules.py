"""Schedules over several processes: each slot runs once, whoever leads and whoever dies."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from support.jobs import (
    EVERY_SECOND,
    FULL,
    PATIENCE,
    QUICK,
    Place,
    engine_rows,
    job_place,
    note,
    steps,
    until,
)

import app
from app.context import Context
from app.jobs.jobs import Jobs, Timing
from app.jobs.work import Schedule
from app.runtime import Runtime
from app.settings import load_settings
from sql.tables import worker_heartbeats


@pytest.fixture
async def place(database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with job_place(database, tmp_path) as place:
        yield place


class Workers:
    """Processes that run jobs, as the server's workers do: copies of one that has imported everything."""

    def __init__(self, place: Place, pace: Timing) -> None:
        self.place, self.pace = place, pace
        self.parent: asyncio.subprocess.Process | None = None

    async def start(self, count: int) -> None:
        root = Path(app.__file__).parents[1]
        order = {"url": self.place.url, "state_dir": str(self.place.state_dir), "pace": asdict(self.pace)}
        self.parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", __file__, str(count), json.dumps(order)),
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    def kill(self, executor: str) -> None:
        """Kill the process of an executor, whose id tells it, as the kernel would."""
        os.kill(_pid(executor), signal.SIGKILL)

    async def stop(self) -> Counter[int]:
        """Tell those that live to stop; how many processes ended with which code."""
        for (executor,) in await self.place.rows(select(worker_heartbeats.c.executor_id)):
            os.kill(_pid(executor), signal.SIGTERM)
        assert self.parent is not None
        output, _ = await asyncio.wait_for(self.parent.communicate(), PATIENCE)
        return Counter(json.loads(output.splitlines()[-1]))

    async def end(self) -> None:
        if self.parent is not None and self.parent.returncode is None:
            os.killpg(self.parent.pid, signal.SIGKILL)
            await self.parent.communicate()


def _pid(executor: str) -> int:
    return int(executor.split("-")[-2])


@pytest.fixture
async def workers(place: Place) -> AsyncIterator[Workers]:
    workers = Workers(place, Timing() if FULL else QUICK)
    yield workers
    await workers.end()


@pytest.mark.processes
async def test_slots_run_once_over_four_processes_and_survive_their_deaths(place: Place, workers: Workers) -> None:
    await workers.start(4)

    async def all_beat() -> bool:
        return len(await place.rows(select(worker_heartbeats.c.executor_id))) == 4

    async def finished(known: int, more: int) -> bool:
        return len(await place.count("end")) >= known + more

    await until(all_beat)
    await until(lambda: finished(0, 60 if FULL else 3))
    assert set((await place.count("begin")).values()) == {1}

    # The leader dies: another one leads, and slots go on.
    leader = await until(place.leader)
    killed_at = time.time()
    workers.kill(leader)

    async def succeeded() -> str | None:
        found = await place.leader()
        return found if found != leader else None

    successor = await until(succeeded)
    print(f"leadership moved after {time.time() - killed_at:.1f} s")  # noqa: T201 - a figure for who asks with -s
    known = len(await place.count("end"))
    await until(lambda: finished(known, 2))

    # A worker dies in the middle of a run: a living one does it again.
    (place.state_dir / "hold").touch()

    async def held() -> str | None:
        ended = set(await place.count("end"))
        rows = await place.rows(select(steps.c.run, steps.c.executor).where(steps.c.step == "hold"))
        return next((executor for run, executor in rows if run not in ended), None)

    victim = await until(held)
    killed_at = time.time()
    workers.kill(victim)
    (place.state_dir / "hold").unlink()

    async def nothing_left() -> bool:
        begun, ended = await place.count("begin"), await place.count("end")
        return all(ended[run] for run in begun if run in held_runs)

    rows = await place.rows(select(steps.c.run, steps.c.executor).where(steps.c.step == "hold"))
    held_runs = {run for run, executor in rows if executor == victim}
    await until(nothing_left)
    print(f"the run of the killed was finished after {time.time() - killed_at:.1f} s")  # noqa: T201

    async def forgotten() -> bool:
        alive = {row[0] for row in await place.rows(select(worker_heartbeats.c.executor_id))}
        return not alive & {leader, victim}

    await until(forgotten)
    assert await workers.stop() == {0: 2, -signal.SIGKILL: 2}
    rows = await engine_rows(place)
    assert {status for _, status, _ in rows} <= {"SUCCESS", "ENQUEUED"}
    assert await place.rows(select(worker_heartbeats)) == []
    assert successor != leader
    # Every run that succeeded ended, and only what a killed process had in flight was begun twice.
    ended, begun = await place.count("end"), await place.count("begin")
    assert set(ended) == {workflow for workflow, status, _ in rows if status == "SUCCESS"}
    begun_by = await place.rows(select(steps.c.run, steps.c.executor).where(steps.c.step == "begin"))
    of_killed = {run for run, executor in begun_by if executor in {leader, victim}}
    assert {run for run, times in begun.items() if times > 1} <= of_killed
    assert max(await place.rows(select(func.count()).select_from(steps).where(steps.c.step == "end")))[0] == len(ended)


async def hold(ctx: Context) -> Mapping[str, object]:
    """A run that waits in the middle as long as there is a file that says so."""
    await note(ctx, "begin")
    while (ctx.runtime.settings.state_dir / "hold").exists():
        await note(ctx, "hold")
        await asyncio.sleep(0.2)
    await note(ctx, "end")
    return {}


async def serve(order: Mapping[str, Any]) -> None:
    """What a process of the test above does until it is told to stop."""
    runtime = Runtime(load_settings(state_dir=Path(order["state_dir"]), database_url=order["url"]))
    jobs = Jobs(runtime, [Schedule("hold", EVERY_SECOND, hold)], Timing(**order["pace"]))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await jobs.launch()
    await told.wait()
    await jobs.stop(10.0)
    await runtime.close()


def serve_in_processes(count: int, order: Mapping[str, Any]) -> list[int]:
    """Fork the processes of the test above; how each of them ended."""
    importlib.import_module("app.jobs.durable")
    pids = []
    for _ in range(count):
        if not (pid := os.fork()):
            asyncio.run(serve(order))
            sys.stdout.flush()
            os._exit(0)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


if __name__ == "__main__":
    print(json.dumps(serve_in_processes(int(sys.argv[1]), json.loads(sys.argv[2]))))  # noqa: T201
