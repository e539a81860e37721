"""How many there are of something: kept for everything, counted up to a bound behind a filter, shown page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    bindparam,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)

from sql.dialect import batch_of_ids, planned_anew
from sql.tables import statistics, statistics_changes
from sql.tables.statistics import TOTAL

# Filtered totals are exact up to here; what asks for one row more knows whether there are more.
MAX_COUNTED = 10_000
_ONE_MORE = literal(MAX_COUNTED + 1, literal_execute=True)

# Which rows of a list are shown. Written out as numbers, because for a limit that is a parameter the planner expects a
# tenth of the table: it would plan each page anew, and that takes longer than to read it.
PAGE_SIZE = bindparam("page_size", type_=Integer, literal_execute=True)
SKIP = bindparam("skip", type_=BigInteger, literal_execute=True)


def kept(metric: str, ending: ColumnElement[str] | None = None) -> ColumnElement[int]:
    """What a figure comes to over all time, folded or not, or that of its dimensions with an ending."""
    parts = []
    # Names are written out: in a plan for any name there would be many sums.
    for table, value in ((statistics, statistics.c.value), (statistics_changes, statistics_changes.c.change)):
        part = select(value.label("value")).where(table.c.metric == literal(metric, literal_execute=True))
        parts.append(part if ending is None else part.where(table.c.dimension.like(literal("%").concat(ending))))
    of_all_time = union_all(
        parts[0].where(statistics.c.grain == literal(TOTAL, literal_execute=True)), parts[1]
    ).subquery(metric)
    # A whole number; PostgreSQL would make it a decimal.
    total = cast(func.coalesce(func.sum(of_all_time.c.value), 0), BigInteger)
    return select(total).scalar_subquery()


def beside_total(total: ColumnElement[int], page: FromClause) -> tuple[ColumnElement[int], FromClause]:
    """The total of a list, and a page beside it: of an empty page one row, in which nothing else is."""
    known = select(total.label("total")).subquery("known")
    return known.c.total, known.outerjoin(page, true())


def found_total(found: Select[Any]) -> ColumnElement[int]:
    """How many rows are found, or one more than are counted."""
    total = select(func.count()).select_from(found.limit(_ONE_MORE).subquery("found"))
    return total.scalar_subquery()


def found_ids(
    found: Select[Any], order: Callable[[FromClause], Sequence[ColumnElement[Any]]] | None = None
) -> Select[Any]:
    """How many rows are found, or one more than are counted, and, unless there are more, their ids as a batch.

    With an ``order``, which is told what is found, those of the page alone. Counted where they are: ten thousand rows
    would be ten times the work of looking for them.
    """
    some = found.limit(_ONE_MORE).cte("found")
    total = select(func.count()).select_from(some).scalar_subquery()
    is_counted = total <= MAX_COUNTED
    # As a condition of the rows it spares the work, as one of the aggregate it leaves no text.
    chosen = select(some.c.id).where(is_counted)
    if order is not None:
        chosen = chosen.order_by(*order(some)).limit(bindparam("page_size")).offset(bindparam("skip"))
    shown = chosen.subquery("chosen")
    ids = select(batch_of_ids(shown.c.id)).having(is_counted).scalar_subquery()
    return select(total.label("total"), ids.label("batch")).where(planned_anew())
