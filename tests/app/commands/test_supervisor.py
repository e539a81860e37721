"""Stopping the processes of a server: each is told until it has ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from app.commands.supervisor import Supervisor
from app.commands.worker import END_SECONDS

# As a worker in the moment in which the framework ignores signals: the first one is lost.
DEAF_AT_FIRST = """
import signal
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
print("ready", flush=True)
while len(heard) < 2:
    signal.pause()
"""


class Child(subprocess.Popen[str]):
    def is_alive(self) -> bool:
        return self.poll() is None


class OfThese(Supervisor):
    """Supervises processes that others have started, and kills them after five seconds."""

    def __init__(self, *processes: Child) -> None:
        self._grace_seconds = 5 - END_SECONDS
        self._told_to_stop = set()
        self._these = processes

    @property
    def processes(self) -> Iterable[Any]:
        return self._these


def test_a_process_that_has_missed_the_signal_is_told_again() -> None:
    with Child([sys.executable, "-c", DEAF_AT_FIRST], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

        OfThese(child).join()

        assert child.returncode == 0
