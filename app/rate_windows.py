"""Sliding windows in which something is counted: in this worker's memory, or in Redis for all workers together."""

from __future__ import annotations

import time
from math import floor
from typing import Any

from limits import RateLimitItem
from pydantic import SecretStr

from app.errors import SettingsError

# How long Redis may take to answer or to take a connection; more than a busy worker takes to look at its answer.
REDIS_SECONDS = 1.0
# Requests that ask Redis at a time in each worker; the others wait for their turn.
REDIS_CONNECTIONS = 32

# One round trip, atomic: what the last window still weighs, what this one holds, and one more if there is room.
_TAKE = """
local weighed = math.floor(tonumber(redis.call('GET', KEYS[2]) or '0') * tonumber(ARGV[3]))
local left = tonumber(ARGV[1]) - weighed - tonumber(redis.call('GET', KEYS[1]) or '0') - 1
if left >= 0 and ARGV[4] == '1' then
    redis.call('INCR', KEYS[1])
    redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) * 2)
end
return left
"""


class MemoryWindow:
    """The counts of one limit in this process: two numbers per caller, forgotten window by window without a walk."""

    def __init__(self, limit: RateLimitItem) -> None:
        self._most = limit.amount
        self._length = limit.get_expiry()
        self._number = 0
        self._current: dict[str, int] = {}
        self._previous: dict[str, int] = {}

    def take(self, whom: str, *, counts: bool = True) -> int:
        """How many hits are left after this one, negative if there is no room for it; counted only if it ``counts``."""
        number, elapsed = divmod(time.time(), self._length)
        if number != self._number:
            self._previous = self._current if number == self._number + 1 else {}
            self._current = {}
            self._number = int(number)
        held = self._current.get(whom, 0)
        weighed = floor(self._previous.get(whom, 0) * (1 - elapsed / self._length))
        left = self._most - weighed - held - 1
        if counts and left >= 0:
            self._current[whom] = held + 1
        return left


class RedisWindows:
    """Counts in Redis, exact however many workers count; raises ``failures`` when it does not answer in time."""

    def __init__(self, url: SecretStr) -> None:
        try:
            from limits.aio.storage import RedisStorage
            from redis.asyncio import ConnectionPool
            from redis.exceptions import RedisError
        except ImportError:
            raise _wrong("needs the package redis: pip install 'addon-portal[redis]'") from None
        address = url.get_secret_value()
        try:
            pool: Any = ConnectionPool.from_url(
                address,
                max_connections=REDIS_CONNECTIONS,
                # It would look its own version up in the file system, at every connection.
                driver_info=None,
                socket_timeout=REDIS_SECONDS,
                socket_connect_timeout=REDIS_SECONDS,
            )
            storage: Any = RedisStorage(f"async+{address}", implementation="redispy", connection_pool=pool)
        except ValueError:
            raise _wrong("must start with redis://, rediss:// or unix://") from None
        self._pool = pool
        self._take = storage.bridge.get_connection().register_script(_TAKE)
        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)

    async def take(self, limit: RateLimitItem, whom: str, *, counts: bool = True) -> int:
        """How many hits are left after this one, negative if there is no room for it; one round trip."""
        number, elapsed = divmod(time.time(), limit.get_expiry())
        name = f"{{portal:{limit.namespace}:{whom}}}"
        return int(
            await self._take(
                [f"{name}:{int(number)}", f"{name}:{int(number) - 1}"],
                [limit.amount, limit.get_expiry(), 1 - elapsed / limit.get_expiry(), int(counts)],
            )
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


def _wrong(reason: str) -> SettingsError:
    return SettingsError(key="redis_url", variable="PORTAL_REDIS_URL", reason=reason)
