"""Serve: check everything that can be checked, prepare the database, then run the workers."""

from __future__ import annotations

import asyncio
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
from functools import partial
from ipaddress import ip_address
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Annotated, Literal

import structlog
from cyclopts import Parameter

from app import APP_NAME
from app.commands.output import AsJson, CommandFailedError, answer
from app.commands.worker import STOP_SIGNALS, worker_app
from app.errors import SettingsError
from app.log import configure_logging
from app.settings import Settings, load_settings, make_state_dir

# Connections that may wait to be accepted while workers are busy or being replaced.
BACKLOG = 1024
METRICS_FOLDER = "metrics"
START_METHOD: Literal["forkserver", "spawn"] = "forkserver" if sys.platform == "linux" else "spawn"

log = structlog.get_logger(__name__)


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
    configure_logging(settings)
    with contextlib.ExitStack() as held:
        listener = held.enter_context(_listening(settings))
        if settings.worker_count > 1:
            # Read once, when prometheus_client is first imported; a single worker keeps its figures in memory.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(held.enter_context(_metrics_folder(settings)))
        _import_for_workers()
        from app.commands.preparation import prepare

        asyncio.run(prepare(settings))
        _run(settings, listener, as_json=as_json)


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


def _run(settings: Settings, listener: socket.socket, *, as_json: bool) -> None:
    """Run Sanic's workers on this socket until the server is told to stop."""
    from sanic import Sanic
    from sanic.mixins import startup
    from sanic.worker.loader import AppLoader

    from app.commands.supervisor import Supervisor

    url = _url(listener)
    # Sanic has no other way to say which class manages its workers.
    startup.WorkerManager = partial(  # type: ignore[attr-defined, assignment]
        Supervisor,
        grace_seconds=settings.shutdown_grace_seconds,
        on_ready=partial(_announce, settings, url, as_json=as_json),
    )
    Sanic.start_method, Sanic.START_METHOD_SET = START_METHOD, True
    app = Sanic(APP_NAME, configure_logging=False)
    app.prepare(
        sock=listener,
        workers=settings.worker_count,
        backlog=BACKLOG,
        # Sanic's own would write whole addresses, and a refresh token may come in one.
        access_log=False,
        motd=False,
    )
    # From here on there are processes to end: a signal waits for the supervisor, who knows how.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    Sanic.serve(primary=app, app_loader=AppLoader(factory=partial(worker_app, settings)))
    log.info("server_stopped")


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket to listen on, taken first: nothing else is worth doing if the port is not ours."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except PermissionError:
        raise CommandFailedError("port_forbidden", f"This user may not listen on {where}: use --port 8080.") from None
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
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


def _announce(settings: Settings, url: str, *, as_json: bool) -> None:
    """Say that the server answers now, and in development what to do with it."""
    database = settings.database
    kind = "SQLite" if database.get_backend_name() == "sqlite" else "PostgreSQL"
    log.info("server_started", url=url, workers=settings.worker_count, database=kind)
    if as_json:
        answer(True, {"url": url, "workers": settings.worker_count, "database": kind, "pid": os.getpid()})
    elif settings.environment == "development":
        place = database.database if kind == "SQLite" else f"{database.host or 'local'}/{database.database}"
        answer(False, {}, *_banner(url, f"{kind} ({place})", _about_workers(settings.worker_count, kind)))


def _about_workers(count: int, kind: str) -> str:
    if kind == "PostgreSQL":
        return str(count)
    return (
        "1: a second one would wait to write on SQLite"
        if count == 1
        else f"{count}: on SQLite they wait for each other"
    )


def _banner(url: str, database: str, workers: str) -> list[str]:
    return [
        f"\n[bold]Addon portal[/] is ready at [bold]{url}[/]",
        f"  database    {database}",
        f"  workers     {workers}",
        "  first code  portal gen-codes --tenant demo",
        f"  try it      {url}/docs",
        "  stop        Ctrl-C\n",
    ]


def _url(listener: socket.socket) -> str:
    """An address that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
