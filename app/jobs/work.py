"""The two kinds of background work: a schedule runs at the times of a cron line, an errand runs for one row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from app.context import Context


@dataclass(frozen=True, slots=True)
class Schedule:
    """A use case that runs at the times of a cron line in the settings' time zone.

    A run is cancelled after ``timeout_seconds``. It is repeated if its worker dies or the database fails during the
    run, so the use case must be idempotent.
    """

    name: str
    cron: str
    run: Callable[[Context], Awaitable[Mapping[str, object]]]
    timeout_seconds: float = 1800.0

    def latest_slot(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last slot at or before a moment."""
        # get_prev excludes the start, and croniter ignores fractions of a second.
        after = now.astimezone(zone).replace(microsecond=1)
        slot: datetime = croniter(self.cron, after).get_prev(datetime)
        return slot.astimezone(UTC)

    def next_slot(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first slot after a moment."""
        slot: datetime = croniter(self.cron, now.astimezone(zone)).get_next(datetime)
        return slot.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Errand:
    """A use case that runs once for a row, soon after the row's commit: ``runtime.enqueue(name, row_id)``.

    It may start again after a crash or an outage, so it begins with a conditional update of its row. ``waiting``
    returns the ids of rows whose errand should have ended by now; those are put into the queue again. A run that ends
    before its row is done leaves the rest to the next one.

    ``at_once`` is how many run at a time in one worker, in a queue of their own: for long ones, for which short ones
    must not wait. With None an errand shares the queue of all others. With ``repeats`` a row may be enqueued again and
    again: its errand runs once more after each time, also where it is just under way.
    """

    name: str
    run: Callable[[Context, int], Awaitable[Mapping[str, object]]]
    waiting: Callable[[Context], Awaitable[Sequence[int]]]
    timeout_seconds: float = 300.0
    at_once: int | None = None
    repeats: bool = False
