"""Processes that do the tasks of runs as work processes do, only that everybody is taken for dead ten times as fast.

A parent that has imported everything forks one for each line that it reads, and prints its process id.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from support.databases import settings_for
from support.jobs import QUICK

import app
from app.jobs.jobs import Jobs
from app.runtime import Runtime
from app.services.runs import errand, tasks
from app.services.runs.errand import TASKS
from app.telemetry.log import configure_logging

DEAD_AFTER = timedelta(seconds=QUICK.dead)


class RunWorkers:
    """The processes of one test on its database."""

    def __init__(self, url: str, folder: Path) -> None:
        self._order = (url, str(folder))
        self._parent: asyncio.subprocess.Process | None = None
        self.pids: list[int] = []

    async def fork(self, number: int = 1) -> None:
        """Start so many processes more."""
        assert self._parent is not None
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        for _ in range(number):
            self._parent.stdin.write(b"fork\n")
            self.pids.append(int(await self._parent.stdout.readline()))

    def signal(self, number: signal.Signals, pid: int) -> None:
        """Send one of them a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill_all(self) -> None:
        """Kill all of them, as a power cut would."""
        for pid in self.pids:
            self.signal(signal.SIGKILL, pid)
        self.pids.clear()

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[RunWorkers]:
        """Start the parent, and end everything afterwards."""
        root = Path(app.__file__).parents[1]
        self._parent = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, *self._order),
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield self
        finally:
            if self._parent.returncode is None:
                os.killpg(self._parent.pid, signal.SIGKILL)
            await self._parent.communicate()


async def _work(url: str, folder: str) -> None:
    tasks.DEAD_AFTER = DEAD_AFTER  # type: ignore[misc]
    tasks.MISSED_SECONDS = 2  # type: ignore[misc]
    errand.ASK_SECONDS = 0.2  # type: ignore[misc]
    settings = settings_for(url, Path(folder))
    configure_logging(settings)
    runtime = Runtime(settings)
    jobs = Jobs(runtime, [], QUICK, [TASKS])
    await jobs.launch()
    await asyncio.Event().wait()


def main(url: str, folder: str) -> None:
    """Fork one process for each line."""
    importlib.import_module("app.jobs.durable")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if not (pid := os.fork()):
            asyncio.run(_work(url, folder))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - for the test


if __name__ == "__main__":
    main(*sys.argv[1:3])
