"""The requests of one connection: heads and bodies as they arrive, within their bounds.

The framework's own class is lenient where it reads, and reads before it is known who asks. What is replaced here of it
is all that parses; ``tests/contract/test_raw_http.py`` shows each shape that is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sanic.exceptions import BadRequest, PayloadTooLarge, SanicException
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.response import BaseHTTPResponse

from app.errors import HeadTooLargeError, PayloadTooLargeError, PortalError, RequestError, RequestTimeoutError
from app.telemetry.request_address import told_address
from app.wire.heads import CHUNKED, read_head

if TYPE_CHECKING:
    from app.wire.connection import Connection

# A body of which more than this is left unread ends its connection; less is thrown away, and the next request read.
MAX_LEFT: Final = 65_536
# Seconds in which the rest of a body that nobody wants may still come.
THROWN_SECONDS: Final = 5.0
# Many chunks are dearer to read than their bytes: beyond a number of them, each has to hold so many on average.
FREE_CHUNKS: Final = 1024
MEAN_CHUNK_BYTES: Final = 64
MAX_CHUNK_LINE: Final = 256
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?\r\n").fullmatch
# How many times the largest body is thrown away for whoever must have sent all before reading the answer.
READ_TO_REFUSE: Final = 4


class Exchange(Http):
    """Reads the requests of one connection, one after the other."""

    __slots__ = ("arrives_by", "charged", "charged_to", "chunk_count", "deadline")

    protocol: Connection
    request: Any
    request_body: Any
    request_bytes: Any
    request_bytes_left: Any

    def __init__(self, protocol: Connection) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.charged = 0
        self.charged_to = ""
        # When the request must have arrived as a whole, and when what is waited for now takes too long.
        self.arrives_by = self.deadline = inf

    def init_for_request(self) -> None:
        """Forget the last request, and what it held."""
        super().init_for_request()  # type: ignore[no-untyped-call]
        self.chunk_count = 0
        self.release()

    def release(self) -> None:
        """What was held of the body is not held any more."""
        if self.charged:
            self.protocol.wire.bodies.release(self.charged_to, self.charged)
            self.charged = 0

    async def http1_request_header(self) -> None:
        """Read a head and make it a request; raises RequestError, HeadTooLargeError."""
        protocol, buffer = self.protocol, self.recv_buffer
        now = monotonic()
        self.arrives_by = self.deadline = now + protocol.request_timeout
        seen, limit = 0, self.HEADER_MAX_SIZE
        while (end := buffer.find(b"\r\n\r\n", seen)) < 0:
            if len(buffer) > limit:
                raise HeadTooLargeError(limit=limit, unit="bytes")
            if buffer.count(b"\n") != buffer.count(b"\r\n"):
                raise RequestError
            seen = max(0, len(buffer) - 3)
            await self._receive_more()
            now = monotonic()
        if end > limit:
            raise HeadTooLargeError(limit=limit, unit="bytes")
        raw = bytes(buffer[:end])
        del buffer[: end + 4]
        head = read_head(raw)
        told_address.set(head.target)
        self.keep_alive = head.keeps_alive
        self.head_only = head.method == "HEAD"
        self.upgrade_websocket = head.asks_websocket
        transport: Any = protocol.transport
        try:
            request = protocol.request_class(
                url_bytes=head.target.encode(),
                # Which makes the mapping of them itself.
                headers=head.headers,  # type: ignore[arg-type]
                head=raw,
                version=f"1.{head.minor_version}",
                method=head.method,
                transport=transport,
                app=protocol.app,
            )
        except SanicException:
            # Its own text holds the address.
            raise RequestError from None
        self.url = head.target
        self.request_bytes_left = self.request_bytes = 0
        if head.length == CHUNKED:
            self.request_body = "chunked"
        elif head.length:
            self.request_body = True
            self.request_bytes_left = self.request_bytes = head.length
        # What is asked by its headers alone, such as a download, finds it there.
        protocol.request_class._current.set(request)  # noqa: SLF001 - as the framework does
        self.request, request.stream = request, self
        if head.expects_continue:
            if request.headers["expect"].lower() != "100-continue":
                raise RequestError
            self.expecting_continue = True
        self.deadline = now + protocol.response_timeout
        protocol.state["requests_count"] += 1

    async def whole_body(self, limit: int) -> bytes:
        """The body, which may have so many bytes.

        Raises PayloadTooLargeError, RequestTimeoutError, BodiesFullError, and RequestError for one that is not framed
        as HTTP says.
        """
        size = self.request_bytes_left
        if size > limit:
            raise PayloadTooLargeError(limit=limit)
        buffer = self.recv_buffer
        if 0 < size <= len(buffer) and not self.expecting_continue:
            body = bytes(buffer[:size])
            del buffer[:size]
            self.request_bytes_left, self.request_body = 0, None
            return body
        # Waited for by its own time-out, and not by that of answers.
        self.deadline = inf
        try:
            return await self._collected(limit)
        finally:
            self.deadline = monotonic() + self.protocol.response_timeout

    async def _collected(self, limit: int) -> bytes:
        parts, size = [], 0
        self.charged_to = self.protocol.charged_address(self.request)
        try:
            async with asyncio.timeout(self.arrives_by - monotonic()):
                while self.request_body:
                    if part := await self.read():
                        size += len(part)
                        if size > limit:
                            raise PayloadTooLargeError(limit=limit)
                        self.protocol.wire.bodies.add(self.charged_to, len(part))
                        self.charged += len(part)
                        parts.append(part)
        except TimeoutError:
            self.keep_alive = False
            raise RequestTimeoutError from None
        return b"".join(parts)

    async def read(self) -> bytes | None:
        """The next bytes of the body, or None at its end; raises RequestError where it is not framed as HTTP says."""
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        buffer = self.recv_buffer
        if not self.request_bytes_left and not await self._next_chunk():
            self.request_body = None
            return None
        if not buffer:
            await self._receive_more()
        data = bytes(buffer[: self.request_bytes_left])
        del buffer[: len(data)]
        self.request_bytes_left -= len(data)
        if not self.request_bytes_left and self.request_body != "chunked":
            self.request_body = None
        return data

    async def _next_chunk(self) -> bool:
        """Whether another chunk follows, of which the bytes come next."""
        buffer = self.recv_buffer
        if self.chunk_count:
            await self._line_end()
        while (end := buffer.find(b"\n", 0, MAX_CHUNK_LINE)) < 0:
            if len(buffer) >= MAX_CHUNK_LINE:
                self._unframed()
            await self._receive_more()
        if (found := _CHUNK_LINE(bytes(buffer[: end + 1]))) is None:
            self._unframed()
        del buffer[: end + 1]
        self.chunk_count += 1
        if size := int(found[1], 16):
            self.request_bytes_left = size
            self.request_bytes += size
            if self.chunk_count > max(FREE_CHUNKS, self.request_bytes // MEAN_CHUNK_BYTES):
                self._unframed()
            return True
        # No trailer: it could be read as the next request by somebody else.
        await self._line_end()
        return False

    async def _line_end(self) -> None:
        buffer = self.recv_buffer
        while len(buffer) < 2:
            await self._receive_more()
        if buffer[:2] != b"\r\n":
            self._unframed()
        del buffer[:2]

    def _unframed(self) -> NoReturn:
        """Where the next request begins is not known: this connection has none any more."""
        self.keep_alive, self.request_body = False, None
        raise RequestError

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """Answer; where much of the body is unread the connection ends, and nobody is asked to send the rest."""
        if self.request_body:
            if not 0 < self.request_bytes_left <= MAX_LEFT:
                self.keep_alive = False
            if self.expecting_continue:
                # Nobody knows whether the body comes all the same.
                self.keep_alive = self.expecting_continue = False
                self.request_body = None
        return super().respond(response)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What is left of a body that was answered before it was read: some seconds of it are thrown away.

        A client that sends all before it reads would otherwise lose its answer.
        """
        thrown, most = 0, self.protocol.request_max_size
        try:
            async with asyncio.timeout(min(self.arrives_by - monotonic(), THROWN_SECONDS)):
                while self.request_body and thrown + self.request_bytes_left <= most:
                    thrown += len(await self.read() or b"")
        except (PortalError, TimeoutError):
            raise BadRequest from None
        if self.request_body:
            raise PayloadTooLarge
        return
        yield b""

    async def http1(self) -> None:
        """Answer requests until the connection ends."""
        try:
            await super().http1()  # type: ignore[no-untyped-call]
        finally:
            self.release()

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing goes on but waiting for what the client sends."""
        return self.stage in (Stage.IDLE, Stage.REQUEST) or self.deadline == inf
