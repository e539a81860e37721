"""Answers: one whose few headers are known to be sound, and one that is sent in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import structlog
from sanic import Request
from sanic.response import HTTPResponse

log = structlog.get_logger(__name__)


class Answer(HTTPResponse):
    """A body with its media type, the request's id, and headers that we wrote ourselves.

    Sanic encodes and checks each header of each response anew, which is a twelfth of what a small answer costs.
    """

    __slots__ = ("_more", "_request_id")

    def __init__(
        self,
        body: bytes,
        request_id: str,
        *,
        status: int = 200,
        media_type: str = "application/json",
        more: dict[str, str] | None = None,
    ) -> None:
        super().__init__(body, status, content_type=media_type)
        self._request_id = request_id
        self._more = more

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The headers as they are sent; ``connection`` is what the framework has decided, unless we close."""
        yield b"content-type", (self.content_type or "").encode()
        yield b"content-length", b"%d" % len(self.body or b"")
        if not self._more or "connection" not in self._more:
            yield b"connection", self.headers["connection"].encode()
        yield b"x-request-id", self._request_id.encode()
        for name, value in (self._more or {}).items():
            yield name.encode(), value.encode()


class Download(NamedTuple):
    """An answer of any length, sent in parts as they are made."""

    media_type: str
    file_name: str
    parts: AsyncIterator[bytes]


async def send(request: Request, download: Download, request_id: str) -> int:
    """Send a download; answers its status. A failure on the way cuts the connection, so that nobody takes it for whole.

    The first part is made before anything is sent, so that what fails at once is answered as an error.
    """
    parts = aiter(download.parts)
    first = await anext(parts, b"")
    headers = {
        "content-disposition": f'attachment; filename="{download.file_name}"',
        "cache-control": "no-store",
        "x-request-id": request_id,
    }
    response = await request.respond(content_type=download.media_type, headers=headers)
    try:
        await response.send(first)
        async for part in parts:
            await response.send(part)
    except Exception:
        # An error can no longer be answered.
        log.exception("download_cut", file=download.file_name, request_id=request_id)
        transport: Any = request.transport
        transport.abort()
    else:
        await response.eof()
    return int(response.status)
