"""Bytes that no client library would send, and what is said to them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

SECONDS = 10


@contextlib.asynccontextmanager
async def line_to(base_url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base_url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def spoken(base_url: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that a server says to these bytes until it hangs up, which it has to do within ten seconds."""
    said = bytearray()

    async def listen(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                said.extend(part)

    async with line_to(base_url) as (reader, writer), asyncio.timeout(SECONDS):
        listening = asyncio.create_task(listen(reader))
        for part in parts:
            if listening.done():
                break
            writer.write(part)
            await asyncio.sleep(pause)
        await listening
    return bytes(said)


def statuses(said: bytes) -> list[int]:
    """The statuses of all answers among these bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]
