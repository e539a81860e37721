"""The main process while the server runs: it starts the workers, replaces those that die, and ends them all.

Sanic's manager starts, counts and restarts worker processes, but it does not look whether they live, it ends them by
SIGINT, which a terminal sends to them as well, and when one cannot start it kills the process group: whatever shell
script started the server with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import structlog
from sanic.exceptions import ServerKilled
from sanic.worker.manager import MonitorCycle, WorkerManager
from sanic.worker.process import WorkerProcess

from app.commands.worker import STOP_SIGNALS

WORKER_FAILED = "__TERMINATE_EARLY__"

START_SECONDS = 60.0
# What a worker may need beyond its grace: closing connections, and the durable engine's threads.
END_SECONDS = 30.0
POLL_SECONDS = 0.05

# A worker that lived this long died of something new, and is replaced at once.
STEADY_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass
class Watched:
    """What is known of a worker's lives; ``due_at`` is when a dead one is started again."""

    started_at: float
    early_deaths: int = 0
    due_at: float | None = None


class Supervisor(WorkerManager):
    """Sanic's manager, with workers that are replaced and signals that reach each process once."""

    def __init__(self, *arguments: Any, grace_seconds: float, on_ready: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._grace_seconds = grace_seconds
        self._on_ready = on_ready
        self._watched: dict[str, Watched] = {}
        # Held back since before Sanic started its first child process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def start(self) -> None:
        """Start the workers, unless the server was told to stop meanwhile."""
        if not self._is_stopping():
            with _interrupts_held_back():
                super().start()  # type: ignore[no-untyped-call]

    def restart(self, *arguments: Any, **options: Any) -> None:
        """Start a process again under its name."""
        with _interrupts_held_back():
            super().restart(*arguments, **options)

    def wait_for_ack(self) -> None:
        """Wait until every worker serves; raises ServerKilled when one of them cannot."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_stopping() and not self._all_workers_ack():  # type: ignore[no-untyped-call]
            # A worker that ends because all of them were told to has not failed.
            if self._has_failed(deadline) and not self._is_stopping():
                self._give_up()
        if self._is_stopping():
            self.monitor_publisher.send(None)
            return
        now = time.monotonic()
        self._watched = {process.name: Watched(now) for process in self.transient_processes}
        self._on_ready()

    def shutdown_signal(self, signal: int, frame: FrameType | None) -> None:
        """End the workers when told to; at once when told again."""
        if not self._shutting_down:
            self.monitor_publisher.send(None)
            self.shutdown()
            return
        with contextlib.suppress(ServerKilled):
            self.kill()

    def shutdown(self) -> None:
        """Tell every worker to end; they finish what they are answering."""
        self._shutting_down = True
        for process in self.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    def join(self) -> None:
        """Wait until every worker has ended, and end those that cannot."""
        # Once more for a worker that was being started when the signal came.
        self.shutdown()
        deadline = time.monotonic() + self._grace_seconds + END_SECONDS
        while any(process.is_alive() for process in self.processes):
            if time.monotonic() > deadline:
                log.error("workers_killed", reason="they did not end within their grace")
                with contextlib.suppress(ServerKilled):
                    self.kill()
                deadline += END_SECONDS
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End every worker at once: each by itself, never the process group."""
        for process in self.processes:
            if process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        raise ServerKilled

    def _is_stopping(self) -> bool:
        """Asked anew each time: a signal may say so between two lines."""
        return self._shutting_down

    def _has_failed(self, deadline: float) -> bool:
        """Whether a worker said that it cannot start, has ended, or takes too long."""
        if self.monitor_subscriber.poll(POLL_SECONDS) and self.monitor_subscriber.recv() == WORKER_FAILED:
            return True
        has_ended = any(not process.is_alive() for process in self.transient_processes)
        return has_ended or time.monotonic() > deadline

    def _give_up(self) -> NoReturn:
        dead = (process for process in self.transient_processes if not process.is_alive())
        ended = {process.name: _cause(process.exitcode) for process in dead}
        log.error("server_not_started", reason="a worker could not start; the lines before this say why", ended=ended)
        self.shutdown()
        self.join()
        self.cleanup()  # type: ignore[no-untyped-call]
        raise ServerKilled

    def _sync_states(self) -> None:
        super()._sync_states()  # type: ignore[no-untyped-call]
        for process in list(self.transient_processes):
            if not process.is_alive() and not self._is_stopping():
                self._replace(process)

    def _handle_message(self, message: str) -> MonitorCycle | None:
        """A replacement that cannot start has said so and ends; it is tried again like any other death."""
        return MonitorCycle.CONTINUE if message == WORKER_FAILED else super()._handle_message(message)

    def _replace(self, process: WorkerProcess) -> None:
        """Start a dead worker again, later each time if it keeps dying early."""
        now = time.monotonic()
        life = self._watched.setdefault(process.name, Watched(now))
        if life.due_at is None:
            died_early = now - life.started_at < STEADY_SECONDS
            pause = (
                min(2.0 ** (life.early_deaths - 1), LONGEST_PAUSE_SECONDS) if died_early and life.early_deaths else 0.0
            )
            life.early_deaths = life.early_deaths + 1 if died_early else 0
            life.due_at = now + pause
            log.warning(
                "worker_died",
                worker=process.name,
                pid=process.pid,
                cause=_cause(process.exitcode),
                restarts_in_seconds=pause,
            )
        if now >= life.due_at:
            life.started_at, life.due_at = now, None
            self.restart(process_names=[process.name])


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return signal.Signals(-exit_code).name


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Give a new process a mask without SIGINT: Ctrl-C in a terminal is for the main process to pass on, in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
