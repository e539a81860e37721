"""What time it is: the one source of now, so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the current moment, aware of its zone."""

    def now(self) -> datetime:
        """The current moment in UTC."""

    def timestamp(self) -> float:
        """The current moment in seconds since the epoch, for comparing without making a datetime."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current moment in UTC."""
        return datetime.now(UTC)

    def timestamp(self) -> float:
        """The current moment in seconds since the epoch."""
        return time.time()
