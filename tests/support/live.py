"""The real application on a real socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr
from sanic import Sanic

from app.access.permissions import Role
from app.clock import Clock
from app.context import Actor, Context
from app.runtime import Runtime
from app.server import create_app
from app.settings import Settings
from app.telemetry.log import configure_logging
from app.wire.connection import Connection

App = Sanic[Any, Any]
# What differs from test to test. Applications with the same settings otherwise differ in their runtime alone, which
# holds whatever a server holds: their routes, which take longer to build than most tests take, serve one after another.
OF_ONE_TEST = {"database_url": SecretStr(""), "state_dir": Path()}
_idle: defaultdict[tuple[asyncio.AbstractEventLoop, Settings], list[App]] = defaultdict(list)


@dataclass(frozen=True)
class LiveServer:
    """A running server: ``http`` speaks to it, ``ctx`` calls its use cases as an operator."""

    app: App
    http: httpx2.AsyncClient
    base_url: str

    @property
    def runtime(self) -> Runtime:
        """What the server's worker holds."""
        return self.app.ctx.runtime

    @property
    def ctx(self) -> Context:
        """An operator's context on this server."""
        actor = Actor("operator", "tests", permissions=Role.OWNER.permissions)
        return Context(self.runtime, actor, "test-request")


@contextlib.asynccontextmanager
async def live_server(settings: Settings, clock: Clock | None = None) -> AsyncIterator[LiveServer]:
    """Start the application, and stop it with everything that a worker does when it stops."""
    place = (asyncio.get_running_loop(), settings.model_copy(update=OF_ONE_TEST))
    app = _application(_idle[place], settings, clock)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = await app.create_server(
        sock=listening,
        protocol=Connection,
        return_asyncio_server=True,
        access_log=False,
        asyncio_server_kwargs={"start_serving": False},
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    if (simulator := app.ctx.runtime.simulator) is not None:
        simulator.deliveries.address = f"{base_url}/billing/stripe/webhook"
    try:
        async with httpx2.AsyncClient(base_url=base_url, verify=False, trust_env=False, timeout=60) as http:
            yield LiveServer(app, http, base_url)
    finally:
        await server.before_stop()
        server.server.close()
        for connection in list(server.connections):
            connection.close_if_idle() or connection.close()
        app.shutdown_tasks(timeout=1)
        await server.wait_closed()
        await server.after_stop()
        Sanic.unregister_app(app)
        _idle[place].append(app)


def _application(idle: list[App], settings: Settings, clock: Clock | None) -> App:
    """An application that no server has, with a runtime of its own; a new one where there is none."""
    Sanic.test_mode = True
    if not idle:
        app = create_app(settings, clock, durable=False)
        app.config.TOUCHUP = False
        return app
    app = idle.pop()
    configure_logging(settings)
    app.ctx.runtime = Runtime(settings, clock)
    Sanic.register_app(app)
    return app
