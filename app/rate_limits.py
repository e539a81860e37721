"""How often a device may ask and an address may guess."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute

from app.errors import RateLimitedError
from app.rate_windows import REDIS_CONNECTIONS, MemoryWindow, RedisWindows
from app.settings import Settings

# After Redis has failed it is left alone for so long, so that not every request waits for it.
REDIS_REST_SECONDS = 5.0
# How often it is said that Redis does not answer.
SAID_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Allowance(NamedTuple):
    """What is left of a limit after a request; ``reset_seconds`` until the window that is counted ends."""

    limit: int
    remaining: int
    reset_seconds: int


class RateLimits:
    """Counts in Redis for all workers where one is configured, else per worker.

    Several workers together then allow up to that many times as much; so they do while Redis does not answer, because
    a limit that cannot be counted refuses nobody.
    """

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        is_shared = bool(settings.redis_url.get_secret_value()) and self._on
        self._redis = RedisWindows(settings.redis_url) if is_shared else None
        self._turns = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._redis_rests_until = 0.0
        self._said_at = -SAID_EVERY_SECONDS
        self._device_requests = RateLimitItemPerMinute(settings.device_requests_per_minute, namespace="device")
        self._unknown_codes = RateLimitItemPerMinute(settings.unknown_codes_per_minute, namespace="code")
        self._memory = {limit.namespace: MemoryWindow(limit) for limit in (self._device_requests, self._unknown_codes)}
        self._hold_seconds = settings.refusal_hold_seconds
        self._room_to_hold = settings.refusals_held_most

    async def count_device_request(self, device: int | str) -> Allowance | None:
        """Count one request of a device, named by its id or by a secret's id of its own; raises RateLimitedError.

        Answers what is left, or None where nothing is limited.
        """
        if not self._on:
            return None
        left = await self._left(self._device_requests, str(device))
        if left < 0:
            await self._hold()
            raise _refusal(self._device_requests)
        return Allowance(self._device_requests.amount, left, _seconds_left(self._device_requests))

    async def count_unknown_code(self, address: str) -> None:
        """Count one activation with a code that nobody has; right codes are never counted."""
        if self._on:
            await self._left(self._unknown_codes, address)

    async def check_guessing(self, address: str) -> None:
        """Raise RateLimitedError for an address that has guessed too many codes."""
        if self._on and await self._left(self._unknown_codes, address, counts=False) < 0:
            await self._hold()
            raise _refusal(self._unknown_codes)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.close()

    async def _left(self, limit: RateLimitItem, whom: str, *, counts: bool = True) -> int:
        if self._redis is not None:
            async with self._turns:
                # Whoever waited for a turn finds that Redis has failed meanwhile, and does not wait for it too.
                if time.monotonic() >= self._redis_rests_until:
                    try:
                        return await self._redis.take(limit, whom, counts=counts)
                    except self._redis.failures as failure:
                        self._rest(failure)
        return self._memory[limit.namespace].take(whom, counts=counts)

    def _rest(self, failure: Exception) -> None:
        now = time.monotonic()
        self._redis_rests_until = now + REDIS_REST_SECONDS
        if now - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = now
            # Not its text: that may quote the address with the password.
            log.warning("redis_does_not_answer", failure=type(failure).__name__, counted_in="memory")

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


def _refusal(limit: RateLimitItem) -> RateLimitedError:
    """The refusal, cheaper than what it refuses: without asking again when there will be room.

    At the end of the window that is counted, a part of what it holds counts no more.
    """
    return RateLimitedError(retry_after=_seconds_left(limit), limit=limit.amount)


def _seconds_left(limit: RateLimitItem) -> int:
    """Seconds until the running window ends; windows of a length begin at its multiples."""
    length = limit.get_expiry()
    return length - int(time.time()) % length
