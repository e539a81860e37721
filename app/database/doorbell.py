"""The doorbell between processes: after a commit it says that there is something new to read, and for which rows.

A ring carries keys and no content. It may come twice, and may be lost: whoever listens reads the tables, and looks
there now and then without a ring. On SQLite a ring reaches its own process only.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import structlog

from app.database.connections import Database
from app.database.engines import listening_engine
from app.errors import UnavailableError
from app.settings import Settings
from sql.statements.database_server import ring_doorbell

log = structlog.get_logger(__name__)

CHANNEL: Final = "portal"
# Seconds between two notifications of a process: keys that are rung meanwhile go out together.
PAUSE_SECONDS: Final = 0.02
# A notification may have 8000 bytes, and a key takes up to 20.
KEYS_AT_ONCE: Final = 300
# Seconds until a connection that was lost is made again, and between two proofs that an idle one still stands.
RECONNECT_SECONDS: Final = 1.0
PROOF_SECONDS: Final = 30.0
# Seconds that the last rings of a process have to go out.
CLOSE_SECONDS: Final = 1.0

# What somebody does who hears a ring: the key of a row, or None where any may have been missed.
Heard = Callable[[int | None], None]


class Doorbell:
    """One per process. It has a connection of its own while somebody listens, and rings through the pool for writes."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        # By this a process knows its own rings, which it has heard before they went out.
        self._mark = secrets.token_hex(4)
        self._listeners: dict[str, Heard] = {}
        self._waiting: dict[str, set[int]] = {}
        self._ringing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def ring(self, topic: str, key: int) -> None:
        """Say that the row with this key has changed; called after the commit, and never waits or fails."""
        self._hear(topic, key)
        if self._db.is_sqlite:
            return
        self._waiting.setdefault(topic, set()).add(key)
        if self._ringing is None:
            self._ringing = asyncio.create_task(self._ring(), name="doorbell-ring")

    def listen(self, topic: str, heard: Heard) -> None:
        """Hear the rings of all processes for a topic, until ``leave``; it has one listener in a process."""
        is_first, self._listeners[topic] = not self._listeners, heard
        if is_first and not self._db.is_sqlite:
            self._listening = asyncio.create_task(self._listen(self._listening), name="doorbell-listen")

    def leave(self, topic: str) -> None:
        """Hear no more of a topic; the connection goes with the last listener."""
        self._listeners.pop(topic, None)
        if not self._listeners and self._listening is not None:
            self._listening.cancel()

    async def close(self) -> None:
        """Send the rings that wait, and hear no more."""
        for topic in tuple(self._listeners):
            self.leave(topic)
        if self._listening is not None:
            await asyncio.wait({self._listening})
        if (ringing := self._ringing) is not None:
            await asyncio.wait({ringing}, timeout=CLOSE_SECONDS)
            ringing.cancel()
            await asyncio.wait({ringing})

    def _hear(self, topic: str, key: int | None) -> None:
        if (heard := self._listeners.get(topic)) is not None:
            heard(key)

    async def _ring(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                with contextlib.suppress(UnavailableError):
                    async with self._db.write_autocommit() as conn:
                        for payload in self._payloads(waiting):
                            await conn.rows(ring_doorbell, channel=CHANNEL, payload=payload)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._ringing = None

    def _payloads(self, waiting: dict[str, set[int]]) -> Iterator[str]:
        for topic, keys in waiting.items():
            rest = iter(keys)
            while some := list(itertools.islice(rest, KEYS_AT_ONCE)):
                yield f"{self._mark} {topic} {' '.join(map(str, some))}"

    async def _listen(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            # Its connection is being closed.
            await asyncio.wait({before})
        is_interrupted = False
        while True:
            try:
                async with self._ear() as lost:
                    is_interrupted = False
                    # Nobody was heard until now.
                    for topic in tuple(self._listeners):
                        self._hear(topic, None)
                    await lost()
            except Exception as failure:  # noqa: BLE001 - whatever the driver calls it: listeners look by themselves
                if not is_interrupted:
                    log.warning("doorbell_not_heard", reason=str(failure) or type(failure).__name__)
                is_interrupted = True
            await asyncio.sleep(RECONNECT_SECONDS)

    @contextlib.asynccontextmanager
    async def _ear(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """A connection that listens; answers what waits until it is lost."""
        engine = listening_engine(self._settings)
        is_lost = asyncio.Event()
        try:
            async with engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                driver.add_termination_listener(lambda _: is_lost.set())
                await driver.add_listener(CHANNEL, self._notified)

                async def lost() -> None:
                    while not is_lost.is_set():
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(PROOF_SECONDS):
                                await is_lost.wait()
                                return
                        await driver.execute("SELECT 1")

                yield lost
        finally:
            await engine.dispose()

    def _notified(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        mark, _, rest = payload.partition(" ")
        topic, _, keys = rest.partition(" ")
        if mark == self._mark or topic not in self._listeners:
            return
        with contextlib.suppress(ValueError):
            for key in keys.split():
                self._hear(topic, int(key))
