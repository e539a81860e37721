"""How much a filter finds: counted up to a bound, so that what matches nearly everything costs no more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from sql.dialect import batch_of_ids, planned_anew

# Filtered totals are exact up to here; what asks for one row more knows whether there are more.
MOST_COUNTED = 10_000


def found_total(found: Select[Any]) -> Select[Any]:
    """How many rows are found, or one more than are counted."""
    return select(func.count().label("total")).select_from(found.limit(MOST_COUNTED + 1).subquery("found"))


def found_ids(found: Select[Any]) -> Select[Any]:
    """How many rows are found, or one more than are counted, and, unless there are more, their ids as a batch.

    Counted where they are: ten thousand rows would be ten times the work of looking for them.
    """
    some = found.limit(MOST_COUNTED + 1).cte("found")
    total = select(func.count()).select_from(some).scalar_subquery()
    is_counted = total <= MOST_COUNTED
    # As a condition of the rows it spares the work, as one of the aggregate it leaves no text.
    ids = select(batch_of_ids(some.c.id)).where(is_counted).having(is_counted).scalar_subquery()
    return select(total.label("total"), ids.label("batch")).where(planned_anew())
