"""How often a device may ask and an address may guess: moving windows in this worker's memory."""

from __future__ import annotations

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

    async def count_device_request(self, device: int | str) -> None:
        """Count one request of a device, named by its id or by a secret's id of its own; raises RateLimitedError."""
        if self._on and not await self._windows.hit(self._device_requests, str(device)):
            await self._refuse(self._device_requests, str(device))

    async def count_unknown_code(self, address: str) -> None:
        """Count one activation with a code that nobody has; right codes are never counted."""
        if self._on:
            await self._windows.hit(self._unknown_codes, address)

    async def check_guessing(self, address: str) -> None:
        """Raise RateLimitedError for an address that has guessed too many codes."""
        if self._on and not await self._windows.test(self._unknown_codes, address):
            await self._refuse(self._unknown_codes, address)

    async def _refuse(self, limit: RateLimitItemPerMinute, key: str) -> None:
        reset_at = (await self._windows.get_window_stats(limit, key)).reset_time
        raise RateLimitedError(retry_after=max(1, round(reset_at - time.time())))
