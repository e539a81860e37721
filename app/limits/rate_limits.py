"""How often and how fast a device may ask, and how often an address may guess."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from math import ceil
from typing import NamedTuple

import structlog

from app.errors import RateLimitedError
from app.limits.rate_windows import REDIS_CONNECTIONS, MemoryWindow, Pace, RateLimit, RedisWindows, Taken
from app.settings import Settings

# After Redis has failed it is left alone for so long, so that not every request waits for it.
REDIS_REST_SECONDS = 5.0
# A refusal is held at least for this part of the longest time.
SHORTEST_HOLD = 0.5
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
        self._connections_to_redis = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._redis_rests_until = 0.0
        self._said_at = -SAID_EVERY_SECONDS
        self._hold_seconds = settings.refusal_hold_seconds
        self._max_held = settings.max_held_requests
        self._held = 0
        self._released = asyncio.Event()
        self._all_gone = asyncio.Event()
        self._per_second = settings.device_requests_per_second
        pace = Pace.of(self._per_second, settings.device_wait_seconds)
        self._device_requests = RateLimit("device", settings.device_requests_per_minute, pace=pace)
        self._unknown_codes = RateLimit("code", settings.unknown_codes_per_minute)
        self._memory = {limit.name: MemoryWindow(limit) for limit in (self._device_requests, self._unknown_codes)}

    async def count_device_request(self, device: int | str) -> Allowance | None:
        """Count one request of a device, named by its id or by a secret's id of its own, and wait for its turn.

        Turns are there so that what a device may send in a minute does not come at the others' expense in a second;
        one is at most ``device_wait_seconds`` away, and who gives up waiting has had it. Answers what is left, or None
        where nothing is limited. Raises RateLimitedError when the minute's requests are used up, when the turn would be
        further away, and when too many are waiting.
        """
        if not self._on:
            return None
        left, wait = await self._taken(self._device_requests, str(device))
        if left < 0:
            await self._hold()
            raise _refusal(self._device_requests)
        allowance = Allowance(self._device_requests.max_hits, left, self._device_requests.seconds_left)
        if wait > 0 and (wait > self._device_requests.pace.patience or not await self._pause(wait)):
            await self._hold()
            raise RateLimitedError(retry_after=ceil(wait), limit=self._per_second)
        return allowance

    async def count_unknown_code(self, address: str) -> None:
        """Count one activation with a code that nobody has; right codes are never counted."""
        if self._on:
            await self._taken(self._unknown_codes, address)

    async def check_guessing(self, address: str) -> None:
        """Raise RateLimitedError for an address that has guessed too many codes."""
        if self._on and (await self._taken(self._unknown_codes, address, counts=False)).left < 0:
            await self._hold()
            raise _refusal(self._unknown_codes)

    async def release(self) -> None:
        """Let everybody go on who waits, and nobody wait any more; return when all of them have gone on."""
        self._released.set()
        self._all_gone.clear()
        if self._held:
            await self._all_gone.wait()

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.close()

    async def _taken(self, limit: RateLimit, whom: str, *, counts: bool = True) -> Taken:
        if self._redis is not None:
            async with self._connections_to_redis:
                # Whoever waited for one finds that Redis has failed meanwhile, and does not wait for it too.
                if time.monotonic() >= self._redis_rests_until:
                    try:
                        return await self._redis.take(limit, whom, counts=counts)
                    except self._redis.failures as failure:
                        self._rest(failure)
        return self._memory[limit.name].take(whom, counts=counts)

    def _rest(self, failure: Exception) -> None:
        now = time.monotonic()
        self._redis_rests_until = now + REDIS_REST_SECONDS
        if now - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = now
            # Not its text: that may quote the address with the password.
            log.warning("redis_does_not_answer", failure=type(failure).__name__, counted_in="memory")

    async def _hold(self) -> None:
        """Let a refused one wait for its refusal, so that asking again at once costs everybody else next to nothing.

        To refuse takes as much of a worker as to answer from memory; whoever waits for an answer does not ask. Not all
        wait equally long: who were refused together would come again together.
        """
        await self._pause(self._hold_seconds * random.uniform(SHORTEST_HOLD, 1))  # noqa: S311 - no secret

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or until all are released; False, at once, if too many are waiting."""
        if self._held >= self._max_held:
            return False
        self._held += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._released.wait()
        finally:
            self._held -= 1
            if not self._held:
                self._all_gone.set()
        return True


def _refusal(limit: RateLimit) -> RateLimitedError:
    """The refusal, cheaper than what it refuses: without asking again when there will be room.

    At the end of the window that is counted, a part of what it holds counts no more.
    """
    return RateLimitedError(retry_after=limit.seconds_left, limit=limit.max_hits)
