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


class StandingClock(MovableClock):
    """A clock that stands still until a test moves it, for what begins or ends at a moment and not after it."""

    def __init__(self) -> None:
        super().__init__()
        self._stood_at = datetime.now(UTC)

    def now(self) -> datetime:
        """The moment at which it stands."""
        return self._stood_at + self._ahead
