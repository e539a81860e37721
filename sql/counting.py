"""Totals of lists: the database keeps that of all rows; behind a filter, rows are counted up to a bound."""

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
    func,
    literal,
    select,
    true,
    union_all,
)

from sql.dialect import batch_of_ids, force_custom_plan
from sql.sums import whole_sum
from sql.tables import statistics, statistics_changes
from sql.tables.statistics import TOTAL

# Filtered totals are exact up to this number. A count stops one row later, which shows that there are more.
MAX_COUNTED = 10_000
_ONE_MORE = literal(MAX_COUNTED + 1, literal_execute=True)

# The limit and the offset of a page. SQLAlchemy writes them into the statement as numbers. For a limit that is a
# parameter, PostgreSQL expects a tenth of the table, and would plan each page again, which takes longer than reading
# it.
PAGE_SIZE = bindparam("page_size", type_=Integer, literal_execute=True)
SKIP = bindparam("skip", type_=BigInteger, literal_execute=True)


def total_of(metric: str, ending: ColumnElement[str] | None = None) -> ColumnElement[int]:
    """The sum of a metric over all time, unfolded changes included; with ``ending``, only of dimensions that end so."""
    parts = []
    # The metric is written into the statement: a generic plan for any metric would expect many sums.
    for table, value in ((statistics, statistics.c.value), (statistics_changes, statistics_changes.c.change)):
        part = select(value.label("value")).where(table.c.metric == literal(metric, literal_execute=True))
        parts.append(part if ending is None else part.where(table.c.dimension.like(literal("%").concat(ending))))
    values = union_all(parts[0].where(statistics.c.grain == literal(TOTAL, literal_execute=True)), parts[1]).subquery(
        metric
    )
    total = func.coalesce(whole_sum(values.c.value), 0)
    return select(total).scalar_subquery()


def page_with_total(total: ColumnElement[int], page: FromClause) -> tuple[ColumnElement[int], FromClause]:
    """The total as a column, and the page joined to it; an empty page gives one row that holds the total only."""
    totals = select(total.label("total")).subquery("totals")
    return totals.c.total, totals.outerjoin(page, true())


def bounded_count(matches: Select[Any]) -> ColumnElement[int]:
    """The number of matching rows; MAX_COUNTED + 1 stands for any larger number."""
    total = select(func.count()).select_from(matches.limit(_ONE_MORE).subquery("matches"))
    return total.scalar_subquery()


def ids_with_total(
    matches: Select[Any],
    order: Callable[[FromClause], Sequence[ColumnElement[Any]]] | None = None,
    behind: Callable[[FromClause], ColumnElement[bool]] | None = None,
) -> Select[Any]:
    """The bounded count of the matching rows, and their ids as a batch; the batch is null above the bound.

    ``order`` gets the matching rows and returns the columns to sort by; the batch then holds one page of ids only, of
    those that are ``behind`` a cursor, if that is given. The database counts the rows: to fetch ten thousand of them
    would be ten times the work of searching.
    """
    rows = matches.limit(_ONE_MORE).cte("matches")
    total = select(func.count()).select_from(rows).scalar_subquery()
    is_counted = total <= MAX_COUNTED
    # Here the condition spares the database the work of reading the ids; in HAVING it makes the batch null.
    page = select(rows.c.id).where(is_counted)
    if behind is not None:
        page = page.where(behind(rows))
    if order is not None:
        page = page.order_by(*order(rows)).limit(bindparam("page_size")).offset(bindparam("skip"))
    ids = page.subquery("page")
    batch = select(batch_of_ids(ids.c.id)).having(is_counted).scalar_subquery()
    return select(total.label("total"), batch.label("batch")).where(force_custom_plan())
