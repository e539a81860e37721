"""Serve: take the socket, begin to import what workers need, and only then what the main process needs beside."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.commands.parameters import AsJson
from app.commands.worker import BACKLOG, STOP_SIGNALS, StartMethod
from app.errors import SettingsError
from app.settings import Settings, load_settings, make_state_dir

METRICS_FOLDER = "metrics"
START_METHOD: StartMethod = "forkserver" if sys.platform == "linux" else "spawn"


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; 0.0.0.0 is every one.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 chooses a free one.")] = None,
    workers: Annotated[int | None, Parameter(help="Worker processes; 0 chooses.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start the server; in development it prepares its database by itself.

    It ends when it gets SIGTERM or Ctrl-C, after it has answered what it was asked.
    """
    given = {"host": host, "port": port, "workers": workers}
    settings = load_settings(**{key: value for key, value in given.items() if value is not None})
    with contextlib.ExitStack() as held:
        listener = held.enter_context(_listening(settings))
        if settings.worker_count > 1:
            # Read once, when prometheus_client is first imported; a single worker keeps its figures in memory.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(held.enter_context(_metrics_folder(settings)))
        _import_for_workers()
        # Nothing that takes long is imported before this: a worker is there as soon as its imports are.
        from app.commands.main_process import run

        run(settings, listener, START_METHOD, as_json=as_json)


def _import_for_workers() -> None:
    """Begin to import what a worker needs, in the process that workers are forked from.

    It does so while this process prepares the database, and every worker, also one that replaces a dead one, is
    there at once and shares the memory. Elsewhere than on Linux a fork is not to be trusted, and workers import for
    themselves.
    """
    multiprocessing.set_start_method(START_METHOD)
    # A worker's threads, which are the drivers' and the durable engine's, run one at a time. A heap for each of them is
    # what glibc would give them, and leave half empty.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    # The tracker is a child that would let signals through to the others if it were started later.
    resource_tracker.ensure_running()
    if START_METHOD != "forkserver":
        return
    multiprocessing.set_forkserver_preload(["app.commands.preload"])
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket to listen on, taken first: nothing else is worth doing if the port is not ours."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except PermissionError:
        from app.commands.output import CommandFailedError

        raise CommandFailedError("port_forbidden", f"This user may not listen on {where}: use --port 8080.") from None
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            from app.commands.output import CommandFailedError

            message = f"Cannot listen on {where}: another program does. Choose another port by --port."
            raise CommandFailedError("port_in_use", message) from None
        reason = f"cannot listen on {settings.host}, which must be an address or a name of this machine"
        raise SettingsError(key="host", variable="PORTAL_HOST", reason=reason) from None
    try:
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def _metrics_folder(settings: Settings) -> Iterator[Path]:
    """An empty folder for this server's figures; those of servers that are gone are removed.

    Whether one is gone is told by its lock, which ends with the process that holds it.
    """
    parent = settings.state_dir.absolute() / METRICS_FOLDER
    try:
        make_state_dir(settings.state_dir)
        parent.mkdir(exist_ok=True)
        for left in parent.iterdir():
            with contextlib.suppress(OSError), (left / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(dir=parent))
        held = (folder / "lock").open("w")
    except OSError as failure:
        reason = f"cannot write into {settings.state_dir} ({failure.strerror})"
        raise SettingsError(key="state_dir", variable="PORTAL_STATE_DIR", reason=reason) from None
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
