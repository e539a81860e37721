"""Connections of a live server: who is answered, streams or has a WebSocket stays, and who says nothing goes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from support.databases import SqliteDatabases, settings_for
from support.journey import until
from support.live import LiveServer, live_server
from support.raw import line_to, spoken, statuses
from support.sockets import PROTOCOL, address
from websockets.asyncio.client import connect

from app.services.tenants import branding

MOST = 4
SLOW = b"GET /licenses/branding/acme HTTP/1.1\r\nhost: p\r\n\r\n"


def open_ones(live: LiveServer) -> int:
    """How many connections it keeps."""
    return len(live.app.ctx.wire.connections._all)


async def test_only_what_waits_for_its_client_makes_room(
    sqlite_databases: SqliteDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(branding, "branding", never)
    with sqlite_databases.fresh(tmp_path) as url:
        settings = settings_for(url, tmp_path, max_connections=MOST, max_connections_per_address=0)
    async with live_server(settings) as live, contextlib.AsyncExitStack() as held:
        # The WebSocket and the one that is answered are the longest here, and stay.
        socket = await held.enter_async_context(connect(address(live), subprotocols=[PROTOCOL], proxy=None))
        _, writer = await held.enter_async_context(line_to(live.base_url))
        writer.write(SLOW)
        silent = [await held.enter_async_context(line_to(live.base_url)) for _ in range(3 * MOST)]
        for reader, _ in silent[: -(MOST - 2)]:
            assert await asyncio.wait_for(reader.read(), 10) == b""
        assert statuses(
            await spoken(live.base_url, b"GET /healthz HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n")
        ) == [200]
        await socket.ping()
        await until(lambda: open_ones(live) == MOST - 1)

        # Where all are answered, nobody else is.
        for _ in range(MOST):
            _, writer = await held.enter_async_context(line_to(live.base_url))
            writer.write(SLOW)
            await asyncio.sleep(0.05)
        refused = await spoken(live.base_url, SLOW)
        assert statuses(refused) == [503]
        assert b"retry-after: 1" in refused
        assert open_ones(live) == MOST
