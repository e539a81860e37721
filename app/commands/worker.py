"""The processes of a server: what each of them runs, its signals, and its garbage collector.

This module is imported early in several processes, so it imports little.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from app.errors import PortalError
from app.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Semaphore

    from sanic import Sanic


# The signals that stop the server. All its processes except the main one start with them blocked, so that a signal to
# the process group, such as Ctrl-C in a terminal, reaches only the main process, which then stops the others in order.
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
# How multiprocessing starts a worker.
StartMethod = Literal["forkserver", "spawn"]
# Seconds that a process may need after its grace, for closing connections and the durable engine's threads.
END_SECONDS = 30.0
# Seconds between two looks whether a worker serves.
START_SECONDS = 0.01
# The number of connections that may wait for accept while workers are busy or being replaced.
BACKLOG = 1024
# The thresholds of the garbage collector's three generations. Requests leave no reference cycles, but the durable
# engine creates some hundred objects in cycles per second. Freeing ten thousand of them at once would take seven
# milliseconds and fragment the memory.
GC_THRESHOLDS = (1_000, 20, 50)


def worker_app(settings: Settings) -> Sanic[Any, Any]:
    """Build the application of this process, with the settings that the main process has checked."""
    from app.jobs.calls import call_for_errands
    from app.server import create_app

    # Sanic sets this in the environment of the main process, but workers are forked from the fork server.
    os.environ["SANIC_WORKER_NAME"] = multiprocessing.current_process().name
    app = create_app(settings, durable=settings.workers_work)
    if not settings.workers_work:
        call_for_errands(app.ctx.runtime)
    logging.getLogger("sanic.error").addFilter(_reason_only)
    app.after_server_start(_hear_signals)
    app.before_server_stop(_stop_once)
    live_as_child(settings.shutdown_grace_seconds + END_SECONDS)
    return app


def work_process(settings: Settings, working: Semaphore | None = None) -> None:
    """Run schedules and errands in this process until SIGTERM; ``working`` is released once it takes work."""
    from app.commands.work_process import work

    work(settings, working.release if working is not None else None)


def live_as_child(end_seconds: float) -> None:
    """Stop with the main process, and spare the garbage collector what lives as long as this process.

    Without a main process nobody else would end a process that does not stop within ``end_seconds``.
    """
    threading.Thread(target=_stop_with_parent, args=(end_seconds,), name="parent", daemon=True).start()
    _configure_garbage_collection()


def end_with_parent() -> None:
    """Have this process end when the main process has, at once: it has nothing to finish."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _reason_only(record: logging.LogRecord) -> bool:
    """For a worker that cannot start, log the reason of a PortalError without its traceback."""
    failure = record.exc_info and record.exc_info[1]
    if isinstance(failure, PortalError):
        record.msg, record.args, record.exc_info = failure.detail, (), None
    return True


def _configure_garbage_collection() -> None:
    """Exempt objects that live as long as the process from garbage collection.

    Collections over all modules and statements would cost a tenth of the throughput and cause most of the slowest
    answers. Reference counting frees the objects of requests, except for a few cycles.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _hear_signals(app: Sanic[Any, Any]) -> None:
    """Hear SIGTERM as soon as the worker serves; one that has come before that has waited.

    While it starts, Sanic ignores the signal for a moment and then takes it for the end of the start itself: a worker
    would be killed after its grace, or end with its database open.
    """
    app.add_task(_unblock_when_serving(app))


async def _unblock_when_serving(app: Sanic[Any, Any]) -> None:
    while not app.state.is_running:  # noqa: ASYNC110 - Sanic sets it between two runs of the loop, and tells nobody
        await asyncio.sleep(START_SECONDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


async def _stop_once(app: Sanic[Any, Any]) -> None:
    """Ignore further SIGTERMs, such as those of a signal to the process group, so that the worker drains in full."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop_with_parent(end_seconds: float) -> None:
    """Stop when the main process has died without stopping this one, or the port would stay in use."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        # This thread goes with its process, which has ended by then unless something in it hangs.
        time.sleep(end_seconds)
        os.kill(os.getpid(), signal.SIGKILL)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
