"""Sums that stay whole numbers which both databases can hold, whatever the rows say; like sql/dialect.py."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, case, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# The most that a day holds of one kind of usage: 31 of them are less than 2**63.
MAX_DAY_QUANTITY: Final = 10**17
# Where a sum stops, and -MAX_SUM below: two of them can still be added.
MAX_SUM: Final = 4 * 10**18
_PART: Final = 10**9


class whole_sum(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """An aggregate: the sum as a whole number, at most MAX_SUM and at least -MAX_SUM; null where there are no rows.

    PostgreSQL's own sum is a decimal, whose cast fails above 2**63, and SQLite's fails there by itself.
    """

    name = "whole_sum"
    type = BigInteger()
    inherit_cache = True


@compiles(whole_sum, "postgresql")
def _whole_sum_postgresql(element: whole_sum, compiler: SQLCompiler, **options: Any) -> str:
    total = f"sum({compiler.process(element.clauses, **options)})"
    most = f"WHEN {total} > {MAX_SUM} THEN {MAX_SUM}"
    least = f"WHEN {total} < -{MAX_SUM} THEN -{MAX_SUM}"
    return f"CAST(CASE {most} {least} ELSE {total} END AS BIGINT)"


@compiles(whole_sum, "sqlite")
def _whole_sum_sqlite(element: whole_sum, compiler: SQLCompiler, **options: Any) -> str:
    # What is above a thousand millions and what is below are added up apart: neither passes 2**63.
    value = f"CAST({compiler.process(element.clauses, **options)} AS INTEGER)"
    large, small = f"sum({value} / {_PART})", f"sum({value} % {_PART})"
    most = MAX_SUM // _PART
    return (
        f"CASE WHEN {large} >= {most} THEN {MAX_SUM} WHEN {large} <= -{most} THEN -{MAX_SUM}"
        f" ELSE {large} * {_PART} + {small} END"
    )


def within_bounds(value: ColumnElement[int]) -> ColumnElement[int]:
    """The number, or the bound that it has passed."""
    most, least = literal_column(str(MAX_SUM), BigInteger), literal_column(f"-{MAX_SUM}", BigInteger)
    return case((value > most, most), (value < least, least), else_=value)


def added(stored: ColumnElement[int], more: ColumnElement[int]) -> ColumnElement[int]:
    """Both together, within the bounds even where one of them is not: no row keeps others from being added."""
    return within_bounds(within_bounds(stored) + within_bounds(more))


def bounded(number: float) -> int:
    """The number as the database holds it: a whole one within the bounds."""
    return int(max(-MAX_SUM, min(MAX_SUM, number)))
