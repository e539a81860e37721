"""The server's main process once it has its socket: it prepares the database and runs the workers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from functools import partial
from ipaddress import ip_address

import structlog

from app import APP_NAME
from app.commands.output import answer
from app.commands.worker import BACKLOG, STOP_SIGNALS, StartMethod, worker_app
from app.settings import Settings
from app.telemetry.log import configure_logging

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

    url = _url(listener)
    # Sanic has no setting for the class that manages its workers.
    startup.WorkerManager = partial(  # type: ignore[attr-defined, assignment]
        Supervisor,
        grace_seconds=settings.shutdown_grace_seconds,
        on_ready=partial(_announce, settings, url, as_json=as_json),
    )
    Sanic.start_method, Sanic.START_METHOD_SET = start_method, True
    app = Sanic(APP_NAME, configure_logging=False)
    app.prepare(
        sock=listener,
        workers=settings.worker_count,
        backlog=BACKLOG,
        # Sanic's access log would contain whole URLs, which may contain a refresh token.
        access_log=False,
        motd=False,
    )
    # From here on child processes exist: stop signals stay blocked until the supervisor can end those processes.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    Sanic.serve(primary=app, app_loader=AppLoader(factory=partial(worker_app, settings)))
    log.info("server_stopped")


def _announce(settings: Settings, url: str, *, as_json: bool) -> None:
    """Announce that the server is ready, and in development how to use it."""
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
    """A URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
