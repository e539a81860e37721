"""Rate limits of devices' requests, of what GraphQL callers ask for, and of guesses at codes and tenants."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import structlog

from app.errors import CostBudgetError, RateLimitedError
from app.limits.rate_windows import REDIS_CONNECTIONS, HitResult, MemoryWindow, Pace, RateLimit, RedisWindows
from app.settings import Settings

# After Redis has failed, no request asks it for this long, so that not every request waits for its time-out.
REDIS_REST_SECONDS = 5.0
# A refusal is delayed at least for this part of ``refusal_hold_seconds``.
MIN_HOLD_FRACTION = 0.5
# Seconds between two log lines about a Redis that does not answer.
LOG_AGAIN_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Allowance(NamedTuple):
    """The remaining requests of a limit after a request; ``reset_seconds`` is the time until the window ends."""

    limit: int
    remaining: int
    reset_seconds: int


@dataclass
class _Asking:
    """The questions of one address: all of them, those that are being answered, and the next one of those that wait."""

    known: int = 0
    running: int = 0
    next_one: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class RateLimits:
    """Counts in Redis for all workers together if one is configured, else in memory for each worker.

    In memory, N workers together allow up to N times the limit. They also count in memory while Redis does
    not answer, because a limit that cannot be counted must not refuse requests.
    """

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        is_shared = bool(settings.redis_url.get_secret_value()) and self._on
        self._redis = RedisWindows(settings.redis_url) if is_shared else None
        self._redis_connections = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._redis_retry_at = 0.0
        self._logged_at = -LOG_AGAIN_SECONDS
        self._hold_seconds = settings.refusal_hold_seconds
        self._max_held = settings.max_held_requests
        self._held = 0
        self._released = asyncio.Event()
        self._none_held = asyncio.Event()
        self._per_second = settings.device_requests_per_second
        pace = Pace.of(self._per_second, settings.device_wait_seconds)
        self._device_requests = RateLimit("device", settings.device_requests_per_minute, pace=pace)
        self._unknown_codes = RateLimit("code", settings.unknown_codes_per_minute)
        self._graphql_cost = RateLimit("graphql", settings.graphql_cost_per_minute)
        limits = (self._device_requests, self._unknown_codes, self._graphql_cost)
        self._memory = {limit.name: MemoryWindow(limit) for limit in limits}
        # By addresses, while requests of theirs run.
        self._asking: dict[str, _Asking] = {}

    async def count_device_request(self, device: int | str) -> Allowance | None:
        """Count one request of a device, and wait until its pace permits the request.

        ``device`` is the device's id, or the id of the refresh family that it presents. The pace keeps one device from
        sending a minute's requests within a second, at the expense of the others. A request waits for
        ``device_wait_seconds`` at most; if its caller hangs up in the meantime, it stays counted. Returns what remains
        of the limit, or None with rate limits off. Raises RateLimitedError when the minute's requests are used up, when
        the wait would be longer, and when too many requests are waiting.
        """
        if not self._on:
            return None
        left, wait = await self._hit(self._device_requests, str(device))
        if left < 0:
            await self._hold()
            raise _refusal(self._device_requests)
        allowance = Allowance(self._device_requests.max_hits, left, self._device_requests.seconds_left)
        if wait > 0 and (wait > self._device_requests.pace.patience or not await self._pause(wait)):
            await self._hold()
            raise RateLimitedError(retry_after=ceil(wait), limit=self._per_second)
        return allowance

    async def count_cost(self, caller: str, cost: int) -> Allowance | None:
        """Count what a caller asks for in GraphQL; returns what remains, or None with rate limits off.

        Raises CostBudgetError when it is more than remains of the minute; nothing is counted then.
        """
        if not self._on:
            return None
        limit = self._graphql_cost
        left, _ = await self._hit(limit, caller, weight=cost)
        if left < 0:
            await self._hold()
            raise CostBudgetError(retry_after=limit.seconds_left, limit=limit.max_hits)
        return Allowance(limit.max_hits, left, limit.seconds_left)

    @contextlib.asynccontextmanager
    async def guessing(self, address: str) -> AsyncIterator[None]:
        """Let the block ask with a code or a tenant that may not exist; what then does not is for ``count_guess``.

        Raises RateLimitedError, before the block, for an address that has named too many that do not exist. As many ask
        at once as may all be wrong, and others of the address wait for their ends: nobody guesses more by asking at
        once, and nobody is refused for asking beside many.
        """
        if not self._on:
            yield
            return
        asking = self._asking.setdefault(address, _Asking())
        asking.known += 1
        try:
            left = await self._guesses_left(address)
            if asking.running > left >= 0:
                async with asking.next_one:
                    while (left := await self._guesses_left(address)) >= 0 and asking.running > left:
                        asking.ended.clear()
                        await asking.ended.wait()
            if left >= 0:
                asking.running += 1
                try:
                    yield
                finally:
                    asking.running -= 1
                    asking.ended.set()
                return
        finally:
            asking.known -= 1
            if not asking.known:
                del self._asking[address]
        await self._hold()
        raise _refusal(self._unknown_codes)

    async def count_guess(self, address: str) -> None:
        """Count one question with a code or a tenant that does not exist; existing ones are never counted."""
        if self._on:
            await self._hit(self._unknown_codes, address)

    async def _guesses_left(self, address: str) -> int:
        return (await self._hit(self._unknown_codes, address, counts=False)).left

    async def release(self) -> None:
        """End all waits, now and in the future; return once no request waits any more."""
        self._released.set()
        self._none_held.clear()
        if self._held:
            await self._none_held.wait()

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.close()

    async def _hit(self, limit: RateLimit, key: str, *, counts: bool = True, weight: int = 1) -> HitResult:
        if self._redis is not None:
            async with self._redis_connections:
                # Checked after the wait for a connection, since Redis may have failed in the meantime.
                if time.monotonic() >= self._redis_retry_at:
                    try:
                        return await self._redis.hit(limit, key, counts=counts, weight=weight)
                    except self._redis.failures as failure:
                        self._rest(failure)
        return self._memory[limit.name].hit(key, counts=counts, weight=weight)

    def _rest(self, failure: Exception) -> None:
        now = time.monotonic()
        self._redis_retry_at = now + REDIS_REST_SECONDS
        if now - self._logged_at >= LOG_AGAIN_SECONDS:
            self._logged_at = now
            # Without the failure's text, which may contain the URL with the password.
            log.warning("redis_does_not_answer", failure=type(failure).__name__, counted_in="memory")

    async def _hold(self) -> None:
        """Delay a refusal, so that a client that repeats refused requests at once costs the other clients little.

        A refusal takes as much of a worker's time as an answer from memory, and a client that waits for its answer does
        not send the next request. The delay is random, because clients that were refused together would otherwise come
        back together.
        """
        await self._pause(self._hold_seconds * random.uniform(MIN_HOLD_FRACTION, 1))  # noqa: S311 - no secret

    async def _pause(self, seconds: float) -> bool:
        """Wait for this long, or until ``release``; returns False at once if too many requests are waiting."""
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
                self._none_held.set()
        return True


def _refusal(limit: RateLimit) -> RateLimitedError:
    """The refusal, with the end of the current window as ``retry_after``.

    At that time a part of the window's hits no longer counts. The exact time until a request fits would take another
    round trip, and a refusal must be cheaper than the request it refuses.
    """
    return RateLimitedError(retry_after=limit.seconds_left, limit=limit.max_hits)
