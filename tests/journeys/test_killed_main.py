"""The main process is killed: every other process of the server ends by itself, whatever it ignores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.processes import served

pytestmark = pytest.mark.processes
PATIENCE = 30.0
HANGS = """
import multiprocessing, os, signal, time
from app.commands.worker import live_as_child

def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    live_as_child(0.1)
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=hang)
    child.start()
    child.join()
"""


def left(processes: list[psutil.Process]) -> list[list[str]]:
    """The command lines of those that do not end within some time."""
    deadline = time.monotonic() + PATIENCE
    _, alive = psutil.wait_procs(processes, timeout=max(0.0, deadline - time.monotonic()))
    return [each.cmdline() for each in alive if each.status() != psutil.STATUS_ZOMBIE]


async def test_workers_and_work_processes_end_when_the_main_process_was_killed(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=2, PORTAL_SHUTDOWN_GRACE_SECONDS="1") as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        remaining = left(children)

    # Two workers, a work process, their shared state, what they are forked from, and what looks after their files.
    assert len(children) >= 5
    assert remaining == []


def test_a_process_that_ignores_its_stop_signal_ends_when_the_main_process_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "hangs.py"
    script.write_text(HANGS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True) as main:
        assert main.stdout
        child = psutil.Process(int(main.stdout.readline()))
        main.kill()
        assert left([child]) == []
