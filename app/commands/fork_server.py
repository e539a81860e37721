"""The fork server: a process that has imported everything, of which the other processes are forked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver, resource_tracker

from app.commands.worker import STOP_SIGNALS, StartMethod

START_METHOD: StartMethod = "forkserver" if sys.platform == "linux" else "spawn"


def start_fork_server(module: str) -> None:
    """Start the fork server, which imports a module while this process prepares the database.

    Every process, also a replacement of a dead one, is forked from it, so it starts at once and shares the memory. On
    systems other than Linux forking is not reliable, and each process imports the modules itself.
    """
    multiprocessing.set_start_method(START_METHOD)
    # Python runs a worker's threads one at a time, so one malloc arena is enough. By default glibc would give each
    # thread its own, and leave it half empty.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    # Starting the tracker leaves SIGINT and SIGTERM unblocked in this process, so it starts before they are blocked
    # below.
    resource_tracker.ensure_running()
    if START_METHOD != "forkserver":
        return
    multiprocessing.set_forkserver_preload([module])
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
