"""Levels of a cap: at how many percent there are alerts, and what they are of an amount."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, literal_column

# In percent of a cap.
PERCENTS = (50, 70, 80, 90, 95, 100)

# Literals, because this is a part of every settlement, and each parameter takes its time.
_HUNDRED, _ONE = literal_column("100", BigInteger), literal_column("1", BigInteger)


def share(of: ColumnElement[int], percent: ColumnElement[int] | int) -> ColumnElement[int]:
    """So many percent of an amount, rounded up; no product on the way is larger than what a whole number can hold."""
    return (of // _HUNDRED) * percent + ((of % _HUNDRED) * percent + _HUNDRED - _ONE) // _HUNDRED
