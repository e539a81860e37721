"""Periods of subscriptions: a month after the 31st is the last day of the next month, and the 31st again after that."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

DAYS = {"day": 1, "week": 7}


def boundary(anchor: int, interval: str, number: int) -> int:
    """The end of the period of this number after the anchor, in seconds since the epoch."""
    start = datetime.fromtimestamp(anchor, UTC)
    if (days := DAYS.get(interval)) is not None:
        return int((start + timedelta(days=days * number)).timestamp())
    months = start.month - 1 + number * (12 if interval == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def period_after(anchor: int, interval: str, moment: int) -> tuple[int, int]:
    """The period that holds a moment: it begins at it or before it, and ends after it."""
    number = 1
    while boundary(anchor, interval, number) <= moment:
        number += 1
    return boundary(anchor, interval, number - 1), boundary(anchor, interval, number)
