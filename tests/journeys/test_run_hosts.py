"""Runs over two hosts, which share a PostgreSQL and an S3: both work, and one goes on with what the other has left."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from support.agents import SERVICES
from support.builders import licensed
from support.processes import ServerProcess, served
from support.runs import events_of, files_of, must_hold, ready_project, run_row, started, tasks_of
from support.s3 import s3_server

pytestmark = [pytest.mark.processes, pytest.mark.postgresql_only("SQLite is for one host")]
RUNS = 6
PATIENCE = 120.0


def host_of(server: ServerProcess) -> set[int]:
    """The processes that work on one of the hosts."""
    return {int(str(event["pid"])) for event in server.events("work_process_works")}


async def ended(server: ServerProcess, run_ids: list[int]) -> bool:
    return all([(await run_row(server, run_id)).state != "running" for run_id in run_ids])  # type: ignore[arg-type]


async def test_two_hosts_do_the_tasks_of_runs_and_one_takes_over(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        given = {"PORTAL_ARTIFACTS_URL": f"s3://{s3.new_bucket()}/runs", "PORTAL_WORK_PROCESSES": "1"}
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        async with served(database, folders[0], workers=1, **given) as one:
            async with served(database, folders[1], workers=1, **given) as two:
                tenant = await licensed(one, max_uses=RUNS)  # type: ignore[arg-type]
                made = [await ready_project(one, tenant, f"Shop {n}", objectives=SERVICES[0]) for n in range(RUNS)]  # type: ignore[arg-type]
                run_ids = [await started(one, mine, project_id) for _, mine, project_id in made]  # type: ignore[arg-type]

                holders: set[int] = set()
                async with asyncio.timeout(PATIENCE):
                    while not (holders & host_of(one) and holders & host_of(two)):
                        for run_id in run_ids:
                            tasks = await tasks_of(one, run_id)  # type: ignore[arg-type]
                            holders |= {int(task.holder.split("-")[-2]) for task in tasks if task.holder}
                        await asyncio.sleep(0.05)
                        assert not await ended(one, run_ids) or len(holders) > 1, "one host did everything"
                killed_at = time.monotonic()
                os.killpg(two.process.pid, signal.SIGKILL)
                two.process.wait()
                async with asyncio.timeout(PATIENCE):
                    while not await ended(one, run_ids):  # noqa: ASYNC110 - it is in the database
                        await asyncio.sleep(0.1)
                took = time.monotonic() - killed_at
            print(f"all ended {took:.0f} s after one host was killed")  # noqa: T201 - a figure for who asks with -s
            assert took < PATIENCE
            for run_id in run_ids:
                tasks = await tasks_of(one, run_id)  # type: ignore[arg-type]
                wrong = [(task.key, task.attempt, task.error, task.outputs) for task in tasks if task.error]
                assert (await run_row(one, run_id)).state == "completed", wrong  # type: ignore[arg-type]
                begun = [event for event in await events_of(one, run_id) if event.kind == "task_started"]  # type: ignore[arg-type]
                assert len(begun) == sum(task.attempt for task in await tasks_of(one, run_id))  # type: ignore[arg-type]
                assert await files_of(one, run_id)  # type: ignore[arg-type]
                await must_hold(one, run_id)  # type: ignore[arg-type]
