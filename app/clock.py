"""The only source of the current time, so that tests can replace it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


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
