"""The main process of a server that has its socket, or of a host that only works: it prepares, and runs the others."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from functools import partial
from ipaddress import ip_address
from multiprocessing.managers import SyncManager

import structlog

from app import APP_NAME
from app.commands.output import answer, escape
from app.commands.worker import BACKLOG, STOP_SIGNALS, StartMethod, end_with_parent, worker_app
from app.settings import Settings
from app.telemetry.log import configure_logging
from app.wire.open_files import open_files

log = structlog.get_logger(__name__)


def run(settings: Settings, listener: socket.socket, start_method: StartMethod, *, as_json: bool) -> None:
    """Prepare the database, then run the workers on this socket until a stop signal; raises as ``prepare`` does."""
    configure_logging(settings)
    from app.commands.preparation import prepare

    asyncio.run(prepare(settings))
    _run_workers(settings, listener, start_method, as_json=as_json)


def _run_workers(settings: Settings, listener: socket.socket, start_method: StartMethod, *, as_json: bool) -> None:
    from sanic import Sanic
    from sanic.mixins import startup
    from sanic.worker.loader import AppLoader

    from app.commands.supervisor import Supervisor
    from app.wire.connection import Connection

    url = _url(listener)
    # Sanic has no setting for the class that manages its workers.
    startup.WorkerManager = partial(  # type: ignore[attr-defined, assignment]
        Supervisor,
        settings=settings,
        on_ready=partial(_announce, settings, url, as_json=as_json),
        work_processes=settings.work_process_count,
    )
    startup.Manager = _state_manager  # type: ignore[attr-defined]
    Sanic.start_method, Sanic.START_METHOD_SET = start_method, True
    app = Sanic(APP_NAME, configure_logging=False)
    app.prepare(
        sock=listener,
        workers=settings.worker_count,
        backlog=BACKLOG,
        protocol=Connection,
        # Sanic's access log would contain whole URLs, which may contain a refresh token.
        access_log=False,
        motd=False,
    )
    # From here on child processes exist: stop signals stay blocked until the supervisor can end those processes.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    Sanic.serve(primary=app, app_loader=AppLoader(factory=partial(worker_app, settings)))
    log.info("server_stopped")


def _state_manager() -> SyncManager:
    """The process by which Sanic's workers share their state.

    It is started with stop signals blocked and by itself outlives a main process that was killed, for ever.
    """
    manager = SyncManager(ctx=multiprocessing.get_context())
    manager.start(initializer=end_with_parent)
    return manager


def run_work(settings: Settings, count: int, start_method: StartMethod, *, as_json: bool) -> None:
    """Prepare the database, then run so many work processes until a stop signal; raises as ``prepare`` does."""
    configure_logging(settings)
    from app.commands.preparation import prepare

    asyncio.run(prepare(settings))
    from sanic.exceptions import ServerKilled

    from app.commands.supervisor import WorkSupervisor

    # From here on child processes exist: stop signals stay blocked until the supervisor can end those processes.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    on_ready = partial(_announce_work, settings, count, as_json=as_json)
    try:
        WorkSupervisor(count, settings, multiprocessing.get_context(start_method), on_ready).run()  # type: ignore[no-untyped-call]
    except ServerKilled:
        raise SystemExit(1) from None
    log.info("work_stopped")


def _announce_work(settings: Settings, count: int, *, as_json: bool) -> None:
    kind, place = _database(settings)
    log.info("work_started", processes=count, database=kind)
    told = {"processes": count, "database": kind, "pid": os.getpid()}
    named = f"{count} work process{'' if count == 1 else 'es'}"
    answer(as_json, told, f"Working with {named} on {kind} ({escape(place)}). Stop: Ctrl-C")


def _database(settings: Settings) -> tuple[str, str]:
    """The kind of the database, and which one it is."""
    url = settings.database
    if url.get_backend_name() == "sqlite":
        return "SQLite", str(url.database)
    return "PostgreSQL", f"{url.host or 'local'}/{url.database}"


def _announce(settings: Settings, url: str, *, as_json: bool) -> None:
    """Announce that the server is ready, and in development how to use it."""
    kind, place = _database(settings)
    counts = {"workers": settings.worker_count, "work_processes": settings.work_process_count}
    log.info("server_started", url=url, **counts, database=kind, open_files=open_files())
    if as_json:
        answer(True, {"url": url, **counts, "database": kind, "pid": os.getpid()})
    elif settings.environment == "development":
        answer(False, {}, *_banner(settings, url, kind, place))


def _about_workers(count: int, kind: str) -> str:
    if kind == "PostgreSQL":
        return str(count)
    return (
        "1: a second one would wait to write on SQLite"
        if count == 1
        else f"{count}: on SQLite they wait for each other"
    )


def _about_work(settings: Settings) -> str:
    if settings.work_process_count:
        return str(settings.work_process_count)
    return "0: the workers do it" if settings.workers_work else "elsewhere: other hosts run portal work"


def _banner(settings: Settings, url: str, kind: str, place: str) -> list[str]:
    return [
        f"\n[bold]Addon portal[/] is ready at [bold]{url}[/]",
        f"  database    {kind} ({escape(place)})",
        f"  workers     {_about_workers(settings.worker_count, kind)}",
        f"  work        {_about_work(settings)}",
        "  first code  portal gen-codes --tenant demo",
        f"  try it      {url}/docs",
        "  stop        Ctrl-C\n",
    ]


def _url(listener: socket.socket) -> str:
    """A URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
