"""Levels of a cap: at how many percent there are alerts, and what they are of an amount."""

from __future__ import annotations

from sqlalchemy import ColumnElement

# In percent of a cap.
PERCENTS = (50, 70, 80, 90, 95, 100)


def share(of: ColumnElement[int], percent: ColumnElement[int] | int) -> ColumnElement[int]:
    """So many percent of an amount, rounded up; no product on the way is larger than what a whole number can hold."""
    return (of // 100) * percent + ((of % 100) * percent + 99) // 100
