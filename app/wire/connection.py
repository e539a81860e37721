"""One connection: what it hears, how long it may wait, and when it has to make room.

The framework's own class counts bytes that arrive as progress, without end, and stops counting for whoever names a
WebSocket. Here a request has one time to arrive in, and only a WebSocket that was opened has none.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from sanic.exceptions import RequestTimeout, ServiceUnavailable
from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from app.limits.addresses import network_of
from app.wire.bodies import HeldBodies
from app.wire.connections import OpenConnections
from app.wire.exchange import Exchange

# As much is read before somebody wants it.
BUFFER_BYTES: Final = 65_536
SHORTEST_WAIT: Final = 0.01
REFUSAL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Wire:
    """What the connections of one worker share."""

    def __init__(self, bodies: HeldBodies, connections: OpenConnections, *, names_client: bool) -> None:
        self.bodies = bodies
        self.connections = connections
        # Whether proxies tell for whom they ask: then a connection's own address is a proxy's.
        self.names_client = names_client


class Connection(WebSocketProtocol):
    """A connection of HTTP, which may become a WebSocket."""

    HTTP_CLASS = Exchange
    __slots__ = ("address", "heard_at", "wire")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.wire: Wire = self.app.ctx.wire
        self.address = ""
        self.heard_at = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin to serve it, where there is room; another one may have to go for it."""
        peer = transport.get_extra_info("peername")
        self.address = network_of(peer[0]) if isinstance(peer, tuple) else ""
        self.heard_at = monotonic()
        if self.wire.connections.admit(self):
            super().connection_made(transport)  # type: ignore[no-untyped-call]
        else:
            transport.write(REFUSAL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.wire.connections.discard(self)
        # One that was refused was never begun.
        if self.conn_info is not None:
            super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived for whoever reads it."""
        if self.websocket is not None:
            self.websocket.data_received(data)  # type: ignore[no-untyped-call]
        elif self.transport is not None:
            self.heard_at = monotonic()
            self.recv_buffer += data
            if len(self.recv_buffer) >= BUFFER_BYTES:
                self.transport.pause_reading()
            self._data_received.set()

    def check_timeouts(self) -> None:
        """End what has waited for too long, and look again when something else may have."""
        exchange: Exchange | None = self._http
        if self._task is None or exchange is None or self.websocket is not None:
            return
        now, stage = monotonic(), exchange.stage
        if stage is Stage.IDLE:
            due = max(self._time, self.heard_at) + self.keep_alive_timeout
        elif stage is Stage.RESPONSE:
            due = self._time + self.response_timeout
        else:
            due = exchange.deadline
        if due <= now:
            if stage is not Stage.IDLE:
                exchange.exception = RequestTimeout() if stage is Stage.REQUEST else ServiceUnavailable()
            self._task.cancel()
            return
        # Whatever begins meanwhile takes at least so long until it is due.
        at_least = min(self.keep_alive_timeout, self.request_timeout, self.response_timeout)
        wait = min(max(due - now, SHORTEST_WAIT), at_least)
        timer: Any = self.loop.call_later(wait, self.check_timeouts)
        self._callback_check_timeouts = timer

    def charged_address(self, request: Any) -> str:
        """For whom bytes are held: the client, as far as it is known."""
        return network_of(request.remote_addr) if self.wire.names_client and request.remote_addr else self.address

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing would be lost but a request that has not arrived: a stream or a WebSocket goes on."""
        return self.websocket is None and (self._http is None or self._http.waits_for_client)

    @property
    def is_between_requests(self) -> bool:
        """Whether it waits and has not begun to ask."""
        return self._http is None or self._http.stage is Stage.IDLE
