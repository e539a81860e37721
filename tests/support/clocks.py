"""A clock that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class MovableClock:
    """The machine's time plus whatever a test has added."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The moved moment."""
        return datetime.now(UTC) + self._ahead

    def timestamp(self) -> float:
        """The moved moment in seconds since the epoch."""
        return self.now().timestamp()

    def move(self, **by: float) -> None:
        """Let time pass: ``clock.move(days=1)``."""
        self._ahead += timedelta(**by)
