"""How many connections a worker keeps, all together and of one address; for one too many the idlest go."""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Literal

import structlog

from app.telemetry import metrics

if TYPE_CHECKING:
    from app.wire.connection import Connection

# To look for the idlest takes as long as there are connections, so several go at a time.
PART_CLOSED: Final = 20
LOG_AGAIN_SECONDS: Final = 60.0
# Files that a worker needs besides: the database's connections, the log, what is imported.
FILES_KEPT: Final = 128

Crowd = Literal["worker", "address"]

log = structlog.get_logger(__name__)


def most_connections(wanted: int, open_files: int) -> int:
    """How many connections a worker can keep that may open so many files."""
    return max(1, min(wanted, open_files - min(FILES_KEPT, open_files // 2)))


class OpenConnections:
    """The open connections of a worker; ``per_address`` is 0 where an address says nothing, behind proxies."""

    def __init__(self, limit: int, per_address: int) -> None:
        self.limit = limit
        self.per_address = min(per_address, max(1, limit // 2)) if per_address else 0
        self._all: set[Connection] = set()
        self._by_address: dict[str, set[Connection]] = {}
        self._logged_at: dict[Crowd, float] = {}
        self._closed: dict[Crowd, int] = {"worker": 0, "address": 0}

    def admit(self, connection: Connection) -> bool:
        """Take a connection, for which the idlest may have to go; False where none of them can."""
        own = self._by_address.get(connection.address, set())
        if self.per_address and len(own) >= self.per_address and not self._make_room("address", own):
            return False
        if len(self._all) >= self.limit and not self._make_room("worker", self._all):
            return False
        self._all.add(connection)
        self._by_address.setdefault(connection.address, set()).add(connection)
        metrics.connections.inc()
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection; it may be forgotten already."""
        if connection not in self._all:
            return
        self._all.remove(connection)
        own = self._by_address[connection.address]
        own.remove(connection)
        if not own:
            del self._by_address[connection.address]
        metrics.connections.dec()

    def _make_room(self, crowd: Crowd, connections: Collection[Connection]) -> bool:
        """Close those that have been silent for the longest, first such as have not begun to ask."""
        waiting = [connection for connection in connections if connection.waits_for_client]
        number = max(1, len(connections) // PART_CLOSED)
        idlest = heapq.nsmallest(number, waiting, key=lambda one: (not one.is_between_requests, one.heard_at))
        for connection in idlest:
            self.discard(connection)
            connection.close()
        metrics.connections_closed.labels(crowd if idlest else "refused").inc(max(1, len(idlest)))
        self._closed[crowd] += max(1, len(idlest))
        self._tell(crowd)
        return bool(idlest)

    def _tell(self, crowd: Crowd) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(crowd, -LOG_AGAIN_SECONDS) < LOG_AGAIN_SECONDS:
            return
        self._logged_at[crowd] = now
        limit = self.limit if crowd == "worker" else self.per_address
        log.warning("connections_full", of=crowd, limit=limit, open=len(self._all), closed=self._closed[crowd])
        self._closed[crowd] = 0
