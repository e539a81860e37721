"""Days and months in the installation's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Month(NamedTuple):
    """A month in a time zone: its first day, the first day of the next month, and the moments at which both begin."""

    first_day: date
    next_day: date
    first: datetime
    next: datetime

    @classmethod
    def of(cls, day: date, zone: ZoneInfo) -> Month:
        """The month that contains a day."""
        days = month_around(day)
        return cls(*days, *(datetime.combine(each, time.min, zone).astimezone(UTC) for each in days))

    @property
    def as_parameters(self) -> dict[str, date]:
        """The month as the parameters of statements."""
        return {"month": self.first_day, "next_month": self.next_day, "first": self.first, "next": self.next}


def month_around(day: date) -> tuple[date, date]:
    """The first day of the month and the first day of the next one."""
    first = day.replace(day=1)
    return first, months_later(first, 1)


def months_later(first_of_month: date, months: int) -> date:
    """The first day of the month ``months`` later; a negative number means earlier."""
    years, month = divmod(first_of_month.year * 12 + first_of_month.month - 1 + months, 12)
    return date(years, month + 1, 1)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a day begins in a time zone."""
    return datetime.combine(day, time(), zone)
