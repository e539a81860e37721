"""The supervisor in the main process: it starts workers and work processes, replaces dead ones, and ends them all.

Sanic's own manager starts and restarts workers too, but it does not notice a dead worker. It ends workers by SIGINT,
which they also get directly from a terminal. And when a worker cannot start it kills the whole process group, which
includes the shell script that started the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.context import BaseContext
from types import FrameType
from typing import Any, NoReturn

import structlog
from sanic.exceptions import ServerKilled
from sanic.worker.manager import MonitorCycle, WorkerManager
from sanic.worker.process import Worker, WorkerProcess

from app.commands.worker import END_SECONDS, STOP_SIGNALS, work_process
from app.settings import Settings

WORKER_FAILED = "__TERMINATE_EARLY__"

START_SECONDS = 60.0
POLL_SECONDS = 0.05
# Far longer than a worker that has heard the signal takes until it ignores further ones.
TELL_AGAIN_SECONDS = 1.0

# A worker that dies after this time is replaced at once; one that dies earlier is replaced with a growing delay.
STEADY_SECONDS = 60.0
MAX_PAUSE_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass
class WorkerLife:
    """The start of a worker's process and its early deaths in a row; at ``due_at`` a dead worker is started again."""

    started_at: float
    early_deaths: int = 0
    due_at: float | None = None


class Supervisor(WorkerManager):
    """Sanic's manager, with workers that are replaced and signals that reach each process once.

    Work processes start once the workers answer, so that nobody waits for them. One that cannot start is replaced like
    any dead process: the workers go on.
    """

    def __init__(self, *arguments: Any, settings: Settings, on_ready: Callable[[], None], work_processes: int) -> None:
        super().__init__(*arguments)
        self._grace_seconds = settings.shutdown_grace_seconds
        self._on_ready = on_ready
        if work_processes:
            options = {"settings": settings}
            self.manage("Work", work_process, options, transient=True, auto_start=False, workers=work_processes)
        self._lives: dict[str, WorkerLife] = {}
        self._told_to_stop: set[int] = set()
        # Blocked since before Sanic started its first child process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def start(self) -> None:
        """Start the workers, unless a stop signal has arrived in the meantime."""
        if not self._is_stopping():
            with _signals_blocked():
                super().start()  # type: ignore[no-untyped-call]

    def restart(self, *arguments: Any, **options: Any) -> None:
        """Restart a process under its name."""
        with _signals_blocked():
            super().restart(*arguments, **options)

    def wait_for_ack(self) -> None:
        """Wait until every worker is ready; raises ServerKilled if one cannot start."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_stopping() and not self._all_workers_ack():  # type: ignore[no-untyped-call]
            # A worker that ends because of a stop signal has not failed.
            if self._has_failed(deadline) and not self._is_stopping():
                self._give_up()
        if self._is_stopping():
            self.monitor_publisher.send(None)
            return
        self._on_ready()
        self._start_waiting()
        now = time.monotonic()
        self._lives = {process.name: WorkerLife(now) for process in self.transient_processes}

    def shutdown_signal(self, signal: int, frame: FrameType | None) -> None:
        """Stop the workers at the first signal; kill them at the second."""
        if not self._shutting_down:
            self.monitor_publisher.send(None)
            self.shutdown()
            return
        with contextlib.suppress(ServerKilled):
            self.kill()

    def shutdown(self) -> None:
        """Send SIGTERM to every worker, which then finishes its current requests.

        Once to each: a second one at the same moment would end a worker that is about to ignore it.
        """
        self._shutting_down = True
        for process in self.processes:
            if process.pid not in self._told_to_stop and process.is_alive():
                self._told_to_stop.add(process.pid)
                os.kill(process.pid, signal.SIGTERM)

    def join(self) -> None:
        """Wait until every worker has ended, and kill those that take too long."""
        now = time.monotonic()
        deadline, tell_at = now + self._grace_seconds + END_SECONDS, now
        while any(process.is_alive() for process in self.processes):
            now = time.monotonic()
            if now >= tell_at:
                # Those that were being started when the signal arrived; and again all, because Sanic throws away what
                # a worker is told in the moment in which it begins to serve.
                self.shutdown()
                self._told_to_stop.clear()
                tell_at = now + TELL_AGAIN_SECONDS
            if now > deadline:
                log.error("workers_killed", reason="they did not end within their grace")
                with contextlib.suppress(ServerKilled):
                    self.kill()
                deadline += END_SECONDS
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill each worker, but never the process group; raises ServerKilled."""
        for process in self.processes:
            if process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        raise ServerKilled

    def _start_waiting(self) -> None:
        """Start the processes that have waited for the workers, unless a stop signal arrives."""
        for process in self.transient_processes:
            if not process.pid and not self._is_stopping():
                with _signals_blocked():
                    process.start()

    def _is_stopping(self) -> bool:
        """Whether a stop signal has arrived; a method, because a signal may change it between two lines."""
        return self._shutting_down

    def _has_failed(self, deadline: float) -> bool:
        """Whether a worker has reported that it cannot start, has ended, or takes too long."""
        if self.monitor_subscriber.poll(POLL_SECONDS) and self.monitor_subscriber.recv() == WORKER_FAILED:
            return True
        has_ended = any(not process.is_alive() for process in self.processes)
        return has_ended or time.monotonic() > deadline

    def _give_up(self) -> NoReturn:
        dead = (process for process in self.processes if not process.is_alive())
        causes = {process.name: _cause(process.exitcode) for process in dead}
        log.error("server_not_started", reason="a worker could not start; the lines before this say why", ended=causes)
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
        """Ignore the report of a replacement that cannot start: it ends, and is replaced again like any dead worker."""
        return MonitorCycle.CONTINUE if message == WORKER_FAILED else super()._handle_message(message)

    def _replace(self, process: WorkerProcess) -> None:
        """Restart a dead worker, with exponential backoff while it keeps dying early."""
        now = time.monotonic()
        life = self._lives.setdefault(process.name, WorkerLife(now))
        if life.due_at is None:
            died_early = now - life.started_at < STEADY_SECONDS
            pause = min(2.0 ** (life.early_deaths - 1), MAX_PAUSE_SECONDS) if died_early and life.early_deaths else 0.0
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


class WorkSupervisor(Supervisor):
    """The supervisor of a host that only works: all of its processes are work processes."""

    def __init__(self, count: int, settings: Settings, context: BaseContext, on_ready: Callable[[], None]) -> None:
        # Released by each process once it takes work.
        self._working = context.Semaphore(0)
        self._working_count = 0
        options = {"settings": settings, "working": self._working}
        subscriber, publisher = Pipe()
        state: dict[str, Any] = {}
        channel = (publisher, subscriber)
        super().__init__(
            *(count, work_process, options, context, channel, state),
            settings=settings,
            on_ready=on_ready,
            work_processes=0,
        )

    def create_server(self) -> Worker:
        """Add a process that starts with the others."""
        return self.manage(f"Work-{next(self._server_count)}", self._serve, self._server_settings, transient=True)

    def _all_workers_ack(self) -> bool:
        while self._working.acquire(block=False):
            self._working_count += 1
        return self._working_count >= self.num_server


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return signal.Signals(-exit_code).name


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start child processes with signals blocked.

    Ctrl-C then reaches only the main process, which stops the others, and SIGTERM waits until they can stop in order.
    """
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
