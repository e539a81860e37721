"""Days and months in the installation's time zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

# In an address a plus stands for a blank, so the offset of a moment arrives without it.
LOST_PLUS = "has a blank where the plus of its offset was: in an address, write %2B instead of +"
_WITHOUT_PLUS = re.compile(r".*\d\d:\d\d\S* \d\d:?\d\d")


def has_lost_its_plus(moment: str) -> bool:
    """Whether a moment has a blank before its offset, as an address makes of a plus."""
    return _WITHOUT_PLUS.fullmatch(moment) is not None


class Month(NamedTuple):
    """A month in a time zone: its first day, the first day of the next month, and the moments at which both begin."""

    first_day: date
    next_day: date
    first: datetime
    next: datetime

    @classmethod
    def of(cls, day: date, zone: ZoneInfo) -> Month:
        """The month that contains a day."""
        first_day = day.replace(day=1)
        next_day = months_later(first_day, 1)
        return cls(first_day, next_day, start_of(first_day, zone), start_of(next_day, zone))

    @property
    def as_parameters(self) -> dict[str, date]:
        """The month as the parameters of statements."""
        return {"month": self.first_day, "next_month": self.next_day, "first": self.first, "next": self.next}


def months_later(first_of_month: date, months: int) -> date:
    """The first day of the month ``months`` later; a negative number means earlier."""
    years, month = divmod(first_of_month.year * 12 + first_of_month.month - 1 + months, 12)
    return date(years, month + 1, 1)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day of a moment in a time zone."""
    return moment.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a day begins in a time zone."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
