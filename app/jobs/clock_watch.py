"""Watching this host's clock: a step, and how far it is from the database's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from app.telemetry import metrics

# What other hosts would notice.
NOTABLE: Final = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class ClockWatch:
    """Warns once of a step, and once of each time in which the clock differs."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._differs = False

    def look(self, now: datetime, monotonic_now: float, skew: timedelta | None) -> None:
        """Compare the clock with the time that has passed, and with the database's unless ``skew`` is None."""
        offset = now.timestamp() - monotonic_now
        if self._offset is not None and abs(stepped := offset - self._offset) > NOTABLE.total_seconds():
            log.warning("clock_stepped", seconds=round(stepped))
        self._offset = offset
        if skew is None:
            return
        metrics.clock_skew.set(skew.total_seconds())
        if (differs := abs(skew) > NOTABLE) != self._differs:
            told = log.warning if differs else log.info
            told(
                "clock_differs" if differs else "clock_agrees", seconds=round(skew.total_seconds()), ahead_of="database"
            )
        self._differs = differs
