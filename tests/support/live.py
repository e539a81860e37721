"""The real application on a real socket, in the test's own event loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
from sanic import Sanic

from app.clock import Clock
from app.context import Actor, Context
from app.permissions import Role
from app.runtime import Runtime
from app.server import create_app
from app.settings import Settings


@dataclass(frozen=True)
class LiveServer:
    """A running server: ``http`` speaks to it, ``ctx`` calls its use cases as an operator."""

    app: Sanic[Any, Any]
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
    Sanic.test_mode = True
    app = create_app(settings, clock, durable=False)
    app.config.TOUCHUP = False
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = await app.create_server(
        sock=listening, return_asyncio_server=True, access_log=False, asyncio_server_kwargs={"start_serving": False}
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
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
