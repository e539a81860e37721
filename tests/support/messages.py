"""A provider of SMS and WhatsApp messages: an HTTP server that keeps what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson


@dataclass
class MessageProvider:
    """What it was told, and the statuses that it answers next."""

    told: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one message."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        self.told.append(orjson.loads(await reader.readexactly(length)))
        status = self.answers.pop(0) if self.answers else 202
        writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def message_provider() -> AsyncIterator[MessageProvider]:
    """A provider that accepts everything until it is told otherwise."""
    provider = MessageProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/messages"
    async with server:
        yield provider
