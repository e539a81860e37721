"""Time-outs: a request has one time to arrive in and one to be answered, whatever its bytes do meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.databases import SqliteDatabases, settings_for
from support.live import LiveServer, live_server
from support.raw import line_to, spoken, statuses
from support.sockets import PROTOCOL, address
from websockets.asyncio.client import connect

from app.services.tenants import branding

HEAD = b"GET /healthz HTTP/1.1\r\nhost: p\r\n"
POST = b"POST /authz/activate HTTP/1.1\r\nhost: p\r\n"
UPGRADE = b"connection: upgrade\r\nupgrade: websocket\r\n"
# By what does not arrive whole.
SLOW = {
    "a head": HEAD + b"x: " + b"y" * 100,
    "a head that names a WebSocket": HEAD + UPGRADE + b"x: " + b"y" * 100,
    "a body": POST + b"content-length: 100\r\n\r\n" + b" " * 99,
    "chunks": POST + b"transfer-encoding: chunked\r\n\r\n" + b"2\r\n  \r\n" * 20,
    "a body beside the name of a WebSocket": POST + UPGRADE + b"content-length: 100\r\n\r\n" + b" " * 99,
}


@pytest.fixture
async def hasty(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server for which a request has a second to arrive, and one to be answered; no database answers here."""
    times = {"request_timeout_seconds": 1, "response_timeout_seconds": 1, "keep_alive_seconds": 2}
    with sqlite_databases.fresh(tmp_path) as url:
        async with live_server(settings_for(url, tmp_path).model_copy(update=times)) as live:
            yield live


def dribbled(data: bytes) -> Iterator[bytes]:
    """A beginning that would do, and then a byte at a time."""
    yield data[:60]
    yield from (data[at : at + 1] for at in range(60, len(data)))


async def test_a_request_that_comes_byte_by_byte_is_ended_after_its_time(hasty: LiveServer) -> None:
    began = time.monotonic()
    said = await asyncio.gather(*(spoken(hasty.base_url, *dribbled(data), pause=0.1) for data in SLOW.values()))

    assert {name: statuses(one) for name, one in zip(SLOW, said, strict=True)} == {name: [408] for name in SLOW}
    assert all(b"connection: close" in one for one in said)
    assert all(b'"errorCode":"request_timeout"' in one for one in said)
    assert time.monotonic() - began >= 1


async def test_what_is_silent_is_ended_and_what_names_a_websocket_is_no_exception(
    hasty: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(branding, "branding", never)
    unanswered = b"GET /licenses/branding/acme HTTP/1.1\r\nhost: p\r\n"
    shapes = {
        "nothing": b"",
        "half a head": HEAD,
        "half a head that names a WebSocket": HEAD + UPGRADE,
        "a kept connection": HEAD + b"\r\n",
        "a kept one that names a WebSocket": HEAD + UPGRADE + b"\r\n",
        "no answer": unanswered + b"\r\n",
        "no answer for what names a WebSocket": unanswered + UPGRADE + b"\r\n",
    }

    said = await asyncio.gather(*(spoken(hasty.base_url, data) for data in shapes.values()))

    assert dict(zip(shapes, map(statuses, said), strict=True)) == {
        "nothing": [],
        "half a head": [408],
        "half a head that names a WebSocket": [408],
        "a kept connection": [200],
        "a kept one that names a WebSocket": [200],
        "no answer": [503],
        "no answer for what names a WebSocket": [503],
    }


async def test_bytes_that_follow_keep_no_answer_waiting(hasty: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(branding, "branding", never)
    parts = (b"GET /licenses/branding/acme HTTP/1.1\r\nhost: p\r\n\r\n", *[b"G"] * 80)

    assert statuses(await spoken(hasty.base_url, *parts, pause=0.1)) == [503]


async def test_a_request_that_is_slow_and_in_time_is_answered(hasty: LiveServer) -> None:
    async with line_to(hasty.base_url) as (reader, writer):
        for part in (HEAD[:20], HEAD[20:], b"\r\n"):
            writer.write(part)
            await asyncio.sleep(0.25)
        assert statuses(await reader.readuntil(b"\r\n\r\n")) == [200]


async def test_a_websocket_that_was_opened_has_no_time_out(hasty: LiveServer) -> None:
    # To load what answers there takes longer than an answer may.
    await hasty.app.ctx.graphql.http()
    async with connect(address(hasty), subprotocols=[PROTOCOL], proxy=None) as connection:
        await asyncio.sleep(2.5)
        assert await (await connection.ping()) >= 0
