"""What a worker process is made of; Sanic calls this in the new process, so it imports nothing before it must."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Literal

from app.errors import PortalError
from app.settings import Settings

if TYPE_CHECKING:
    from sanic import Sanic


# What tells the server to end. Every process of it but the main one is born with them held back, so that a signal to
# the whole group, such as Ctrl-C in a terminal, reaches the main process alone, which ends the others in order.
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
# How a worker process comes to be.
StartMethod = Literal["forkserver", "spawn"]
# Connections that may wait to be accepted while workers are busy or being replaced.
BACKLOG = 1024
# Objects made and not freed until the youngest are collected; and collections until the older and the oldest are too.
# Requests leave no cycles behind, the durable engine makes some hundred objects of them a second: ten thousand of these
# at once take seven thousandths of a second to free, and leave holes in the memory.
COLLECT_AFTER = (1_000, 20, 50)


def worker_app(settings: Settings) -> Sanic[Any, Any]:
    """Build the application of this process with the settings that the main process has checked."""
    from app.server import create_app

    # Sanic names its workers in the environment of the process that starts them, which is not where forks come from.
    os.environ["SANIC_WORKER_NAME"] = multiprocessing.current_process().name
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    app = create_app(settings)
    logging.getLogger("sanic.error").addFilter(_say_why)
    app.before_server_stop(_stop_once)
    threading.Thread(target=_stop_with_parent, name="parent", daemon=True).start()
    _settle_memory()
    return app


def _say_why(record: logging.LogRecord) -> bool:
    """Of a worker that cannot start the reason is wanted, not where in the code it was found."""
    failure = record.exc_info and record.exc_info[1]
    if isinstance(failure, PortalError):
        record.msg, record.args, record.exc_info = failure.detail, (), None
    return True


def _settle_memory() -> None:
    """Let the collector look at what requests leave behind, and no more at what lives as long as the process.

    Its passes over the modules and statements of a whole server cost a tenth of the throughput and most of the slowest
    answers; what requests make is freed by counting references, but for a few cycles.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _stop_once(app: Sanic[Any, Any]) -> None:
    """Finish what was begun even if the signal comes again, as it does from whoever signals a whole group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop_with_parent() -> None:
    """Stop when the main process is gone without having said so; the port would stay taken."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
