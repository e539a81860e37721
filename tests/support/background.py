"""A server in a thread of its own, for senders that block."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from support.live import LiveServer, live_server

from app.settings import Settings


class Background:
    """The server; ``prepare`` stores what it begins with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.live: LiveServer | None = None

    async def prepare(self, live: LiveServer) -> None:
        """Store nothing."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        try:
            async with live_server(self._settings) as live:
                self.live = live
                await self.prepare(live)
                self._ready.set()
                await self._done.wait()
        finally:
            self._ready.set()
