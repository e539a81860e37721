"""The only source of the current time, so that tests can replace it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

# No hold on anything lasts so long. One that ends later was begun by a clock that stood ahead, and is over.
LONGEST_HOLD: Final = timedelta(minutes=30)
# So far the clocks of hosts may be apart. What lies further ahead than it can have been set to was set by such a clock.
CLOCKS_DIFFER: Final = timedelta(minutes=10)


class Clock(Protocol):
    """Returns the current time."""

    def now(self) -> datetime:
        """The current time in UTC, timezone-aware."""

    def timestamp(self) -> float:
        """The current time in seconds since the epoch, for comparisons without a datetime."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time in UTC, timezone-aware."""
        return datetime.now(UTC)

    def timestamp(self) -> float:
        """The current time in seconds since the epoch."""
        return time.time()


def is_held(until: datetime | None, now: datetime) -> bool:
    """Whether a hold that ends then is one at this moment."""
    return until is not None and now < until <= now + LONGEST_HOLD


def held_at(now: datetime) -> dict[str, datetime]:
    """What statements compare the end of a hold with."""
    return {"now": now, "latest": now + LONGEST_HOLD}


def good_at(now: datetime, seconds: float) -> dict[str, datetime]:
    """What statements compare the end of something with that is good for so many seconds.

    What is good beyond ``latest`` was begun by a clock that stood ahead.
    """
    return {"now": now, "latest": now + timedelta(seconds=seconds) + CLOCKS_DIFFER}
