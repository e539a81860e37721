"""Serve as a user runs it: it answers, replaces a killed worker, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

PATIENCE_SECONDS = 30


@pytest.mark.processes
def test_serve_answers_until_it_is_told_to_stop(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_WORK_PROCESSES", "1")
    with started("--workers", "2") as server:
        assert (server.told["workers"], server.told["work_processes"], server.told["database"]) == (2, 1, "SQLite")
        assert httpx2.get(f"{server.told['url']}/readyz", trust_env=False).status_code == 200
        assert server.end(signal.SIGTERM) == 0
        assert server.family() == set()
    assert "Traceback" not in server.log()
    assert [path.name for path in (state / "metrics").iterdir()] == []


@pytest.mark.processes
def test_a_killed_worker_is_replaced_and_ctrl_c_for_the_whole_group_ends_all(state: Path) -> None:
    with started("--workers", "1") as server:
        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        # The only worker is gone: this request waits for the next one.
        answer = httpx2.get(f"{server.told['url']}/readyz", trust_env=False, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200
        assert server.workers()[-1] != killed
        os.killpg(server.process.pid, signal.SIGINT)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE_SECONDS) == 0
        assert server.family() == set()
    assert "Traceback" not in server.log()
    assert server.log().count('"event":"worker_died"') == 1


@dataclass
class Started:
    """A real server in a session of its own; ``told`` is what it printed when it was ready."""

    process: subprocess.Popen[bytes]
    told: dict[str, Any]
    log_path: Path

    def log(self) -> str:
        return self.log_path.read_text()

    def workers(self) -> list[int]:
        """The processes that have begun to serve, in order, dead ones as well."""
        lines = [json.loads(line) for line in self.log().splitlines() if '"worker_started"' in line]
        return [line["pid"] for line in lines]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def family(self) -> set[int]:
        """The processes of the server's session that are alive, given a moment to end."""
        deadline = time.monotonic() + 5
        while (left := _session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pid in _session(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def started(*options: str) -> Started:
    """``portal serve`` on a free port, ready to answer."""
    log_path = Path(os.environ["PORTAL_STATE_DIR"]).parent / "serve.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app", "serve", "--port", "0", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, log_path.read_text()
    return Started(process, json.loads(line), log_path)


def _session(leader: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader and state != "Z":
            found.add(int(folder.name))
    return found
