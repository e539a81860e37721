"""Sliding windows in which something is counted, and the pace within them: in memory, or in Redis for all workers."""

from __future__ import annotations

import time
from math import floor
from typing import Any, NamedTuple

from pydantic import SecretStr

from app.errors import SettingsError

# How long Redis may take to answer or to take a connection; more than a busy worker takes to look at its answer.
REDIS_SECONDS = 1.0
# Requests that ask Redis at a time in each worker; the others wait for their turn.
REDIS_CONNECTIONS = 32
MICROSECONDS = 1_000_000

# One round trip, atomic: what the last window still weighs, what this one holds, when the next turn is by Redis's own
# clock (further away than anybody can have come, if that was set back), and one more if there is room and it is near.
_TAKE = """
local weighed = math.floor(tonumber(redis.call('GET', KEYS[2]) or '0') * tonumber(ARGV[3]))
local left = tonumber(ARGV[1]) - weighed - tonumber(redis.call('GET', KEYS[1]) or '0') - 1
local told = redis.call('TIME')
local now = told[1] * 1000000 + told[2]
local turn = tonumber(redis.call('GET', KEYS[3]) or '0')
if turn < now or turn - now > ARGV[5] + ARGV[6] + ARGV[7] then
    turn = now
end
local wait = math.max(0, turn - now - tonumber(ARGV[6]))
if left >= 0 and wait <= tonumber(ARGV[7]) and ARGV[4] == '1' then
    redis.call('INCR', KEYS[1])
    redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) * 2)
    if tonumber(ARGV[5]) > 0 then
        redis.call('SET', KEYS[3], string.format('%.0f', turn + tonumber(ARGV[5])), 'EX', tonumber(ARGV[2]) * 2)
    end
end
return {left, math.ceil(wait)}
"""


class Pace(NamedTuple):
    """How fast a window's hits may follow each other, in seconds: a bucket of hits that fills again evenly.

    Each hit takes ``apart``. One that comes at most ``ahead`` too early does not wait, any other waits until it is no
    earlier, and one that would wait longer than ``patience`` is refused (ATM's generic cell rate algorithm).
    """

    apart: float
    ahead: float
    patience: float

    @classmethod
    def of(cls, per_second: int, patience: float) -> Pace:
        """A second's hits at once, then evenly as many a second."""
        return cls(1 / per_second, 1 - 1 / per_second, patience)


# As fast as one likes, until the window is full.
ANY_PACE = Pace(0, 0, 0)


class RateLimit(NamedTuple):
    """So many hits of each caller in so many seconds; ``name`` is what they are counted under."""

    name: str
    max_hits: int
    seconds: int = 60
    pace: Pace = ANY_PACE

    @property
    def seconds_left(self) -> int:
        """Seconds until the running window ends; windows of a length begin at its multiples."""
        return self.seconds - int(time.time()) % self.seconds


class Taken(NamedTuple):
    """How many hits are left after this one, negative if the window had no room for it, and the seconds to its turn.

    What was to be counted was, if there was room and the wait is within the pace's patience.
    """

    left: int
    wait: float


class MemoryWindow:
    """The counts of one limit in this process: few numbers per caller, forgotten window by window without a walk."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._number = 0
        # Of each caller: hits, and when the next one would come if they came evenly.
        self._current: dict[str, tuple[int, float]] = {}
        self._previous: dict[str, tuple[int, float]] = {}

    def take(self, whom: str, *, counts: bool = True) -> Taken:
        """Ask for one hit; with ``counts`` it is counted if it may be."""
        _, max_hits, length, (apart, ahead, patience) = self._limit
        now = time.time()
        number, elapsed = divmod(now, length)
        if number != self._number:
            self._previous = self._current if number == self._number + 1 else {}
            self._current = {}
            self._number = int(number)
        before, turn = self._previous.get(whom, (0, now))
        held, turn = self._current.get(whom, (0, turn))
        left = max_hits - floor(before * (1 - elapsed / length)) - held - 1
        if not now <= turn <= now + apart + ahead + patience:
            # Nobody can have run ahead any further: the clock was set back.
            turn = now
        wait = max(0.0, turn - now - ahead)
        if counts and left >= 0 and wait <= patience:
            self._current[whom] = held + 1, turn + apart
        return Taken(left, wait)


class RedisWindows:
    """Counts in Redis, exact however many workers count; raises ``failures`` when it does not answer in time."""

    def __init__(self, url: SecretStr) -> None:
        try:
            from redis.asyncio import ConnectionPool, Redis
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
        except ValueError:
            raise _wrong("must start with redis://, rediss:// or unix://") from None
        self._pool = pool
        self._take: Any = Redis(connection_pool=pool).register_script(_TAKE)
        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)

    async def take(self, limit: RateLimit, whom: str, *, counts: bool = True) -> Taken:
        """Ask for one hit; with ``counts`` it is counted if it may be. One round trip."""
        number, elapsed = divmod(time.time(), limit.seconds)
        name = f"{{portal:{limit.name}:{whom}}}"
        pace = [round(seconds * MICROSECONDS) for seconds in limit.pace]
        left, wait = await self._take(
            [f"{name}:{int(number)}", f"{name}:{int(number) - 1}", f"{name}:turn"],
            [limit.max_hits, limit.seconds, 1 - elapsed / limit.seconds, int(counts), *pace],
        )
        return Taken(int(left), int(wait) / MICROSECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


def _wrong(reason: str) -> SettingsError:
    return SettingsError(key="redis_url", variable="PORTAL_REDIS_URL", reason=reason)
