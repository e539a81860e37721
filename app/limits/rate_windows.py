"""Rate limiting by sliding windows and a pace within them, counted in memory or in Redis for all workers."""

from __future__ import annotations

import time
from math import floor
from typing import Any, NamedTuple

from pydantic import SecretStr

from app.errors import SettingsError

# Time-out of Redis for an answer and for a connection; longer than a busy worker takes to process an answer.
REDIS_SECONDS = 1.0
# Requests that may use Redis at the same time in each worker; the others wait for a connection.
REDIS_CONNECTIONS = 32
MICROSECONDS = 1_000_000

# One atomic round trip. The weighted hits of the previous window and the hits of this one give what is left. The next
# turn is a time of Redis's clock; a turn further in the future than the pace permits shows that the clock was set back,
# and starts again from now. The hit is counted if the window has room and the wait is within the patience.
_HIT_SCRIPT = """
local previous = math.floor(tonumber(redis.call('GET', KEYS[2]) or '0') * tonumber(ARGV[3]))
local left = tonumber(ARGV[1]) - previous - tonumber(redis.call('GET', KEYS[1]) or '0') - tonumber(ARGV[8])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = tonumber(redis.call('GET', KEYS[3]) or '0')
if turn < now or turn - now > ARGV[5] + ARGV[6] + ARGV[7] then
    turn = now
end
local wait = math.max(0, turn - now - tonumber(ARGV[6]))
if left >= 0 and wait <= tonumber(ARGV[7]) and ARGV[4] == '1' then
    redis.call('INCRBY', KEYS[1], ARGV[8])
    redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) * 2)
    if tonumber(ARGV[5]) > 0 then
        redis.call('SET', KEYS[3], string.format('%.0f', turn + tonumber(ARGV[5])), 'EX', tonumber(ARGV[2]) * 2)
    end
end
return {left, math.ceil(wait)}
"""


class Pace(NamedTuple):
    """How fast hits may follow each other, in seconds: the generic cell rate algorithm (GCRA), a leaky bucket.

    Turns are ``apart`` seconds apart, and each hit takes the next one. A hit that is at most ``ahead`` seconds before
    its turn does not wait; an earlier one waits until it is; one that would wait longer than ``patience`` is refused.
    """

    apart: float
    ahead: float
    patience: float

    @classmethod
    def of(cls, per_second: int, patience: float) -> Pace:
        """``per_second`` hits at once, and then evenly as many per second."""
        return cls(1 / per_second, 1 - 1 / per_second, patience)


# No limit to the pace, only to the window.
ANY_PACE = Pace(0, 0, 0)


class RateLimit(NamedTuple):
    """At most ``max_hits`` per key in a window of ``seconds``; ``name`` keeps the keys of two limits apart."""

    name: str
    max_hits: int
    seconds: int = 60
    pace: Pace = ANY_PACE

    @property
    def seconds_left(self) -> int:
        """Seconds until the current window ends; windows begin at multiples of their length."""
        return self.seconds - int(time.time()) % self.seconds


class HitResult(NamedTuple):
    """The hits left after this one, negative if the window is full, and the seconds to wait for its turn.

    The hit was counted if it was to be counted, the window had room, and the wait is within the pace's patience.
    """

    left: int
    wait: float


class MemoryWindow:
    """The counts of one limit in this process: two numbers per key; an old window is dropped as a whole."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._number = 0
        # Per key: the number of hits, and the time of the next turn.
        self._current: dict[str, tuple[int, float]] = {}
        self._previous: dict[str, tuple[int, float]] = {}

    def hit(self, key: str, *, counts: bool = True, weight: int = 1) -> HitResult:
        """Try one hit, or as many as ``weight``; with ``counts`` they are counted if the limit permits all of them."""
        _, max_hits, length, (apart, ahead, patience) = self._limit
        now = time.time()
        number, elapsed = divmod(now, length)
        if number != self._number:
            self._previous = self._current if number == self._number + 1 else {}
            self._current = {}
            self._number = int(number)
        previous_hits, turn = self._previous.get(key, (0, now))
        hits, turn = self._current.get(key, (0, turn))
        left = max_hits - floor(previous_hits * (1 - elapsed / length)) - hits - weight
        if not now <= turn <= now + apart + ahead + patience:
            # The pace permits no turn further ahead, so the clock was set back.
            turn = now
        wait = max(0.0, turn - now - ahead)
        if counts and left >= 0 and wait <= patience:
            self._current[key] = hits + weight, turn + apart
        return HitResult(left, wait)


class RedisWindows:
    """Counts in Redis, exact for any number of workers; raises ``failures`` when Redis does not answer in time."""

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
                # Otherwise the client reads its own version from the file system at every connection.
                driver_info=None,
                socket_timeout=REDIS_SECONDS,
                socket_connect_timeout=REDIS_SECONDS,
            )
        except ValueError:
            raise _wrong("must start with redis://, rediss:// or unix://") from None
        self._pool = pool
        self._hit: Any = Redis(connection_pool=pool).register_script(_HIT_SCRIPT)
        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)

    async def hit(self, limit: RateLimit, key: str, *, counts: bool = True, weight: int = 1) -> HitResult:
        """Try one hit, or as many as ``weight``, in one round trip; with ``counts`` they are counted if permitted."""
        number, elapsed = divmod(time.time(), limit.seconds)
        name = f"{{portal:{limit.name}:{key}}}"
        pace = [round(seconds * MICROSECONDS) for seconds in limit.pace]
        left, wait = await self._hit(
            [f"{name}:{int(number)}", f"{name}:{int(number) - 1}", f"{name}:turn"],
            [limit.max_hits, limit.seconds, 1 - elapsed / limit.seconds, int(counts), *pace, weight],
        )
        return HitResult(int(left), int(wait) / MICROSECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


def _wrong(reason: str) -> SettingsError:
    return SettingsError(key="redis_url", variable="PORTAL_REDIS_URL", reason=reason)
