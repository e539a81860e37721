"""How often a device may ask and an address may guess: moving windows in this worker's memory."""

from __future__ import annotations

import asyncio
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.errors import RateLimitedError
from app.settings import Settings


class RateLimits:
    """Counts per worker; several workers together allow up to that many times as much."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        self._windows = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._device_requests = RateLimitItemPerMinute(settings.device_requests_per_minute, namespace="device")
        self._unknown_codes = RateLimitItemPerMinute(settings.unknown_codes_per_minute, namespace="code")
        self._hold_seconds = settings.refusal_hold_seconds
        self._room_to_hold = settings.refusals_held_most

    async def count_device_request(self, device: int | str) -> None:
        """Count one request of a device, named by its id or by a secret's id of its own; raises RateLimitedError."""
        if self._on and not await self._windows.hit(self._device_requests, str(device)):
            await self._hold()
            raise _refusal(self._device_requests)

    async def count_unknown_code(self, address: str) -> None:
        """Count one activation with a code that nobody has; right codes are never counted."""
        if self._on:
            await self._windows.hit(self._unknown_codes, address)

    async def check_guessing(self, address: str) -> None:
        """Raise RateLimitedError for an address that has guessed too many codes."""
        if self._on and not await self._windows.test(self._unknown_codes, address):
            await self._hold()
            raise _refusal(self._unknown_codes)

    async def _hold(self) -> None:
        """Let a refused one wait for its refusal, so that asking again at once costs everybody else next to nothing.

        To refuse takes as much of a worker as to answer from memory; whoever waits for an answer does not ask.
        """
        if self._room_to_hold > 0:
            self._room_to_hold -= 1
            try:
                await asyncio.sleep(self._hold_seconds)
            finally:
                self._room_to_hold += 1


def _refusal(limit: RateLimitItemPerMinute) -> RateLimitedError:
    """The refusal, cheaper than what it refuses: without asking the storage when the window that is counted ends.

    Windows of a length begin at its multiples, and at the end of this one a part of what it holds counts no more.
    """
    length = limit.get_expiry()
    return RateLimitedError(retry_after=length - int(time.time()) % length)
