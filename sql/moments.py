"""Reckoning with moments in SQL: like sql/dialect.py, a construct for each that means the same on both databases."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Date, Double, Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class quarter_of(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The number of the quarter of an hour in which a moment lies, counted from 1970 in UTC; null for null."""

    name = "quarter_of"
    type = Integer()
    inherit_cache = True


@compiles(quarter_of, "postgresql")
def _quarter_of_postgresql(element: quarter_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)}) / 900) AS INTEGER)"


@compiles(quarter_of, "sqlite")
def _quarter_of_sqlite(element: quarter_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER) / 900"


class seconds_between(FunctionElement[float]):  # noqa: N801 - used like a SQL function
    """The seconds from the first moment to the second one, to a millisecond; null where one of them is."""

    name = "seconds_between"
    type = Double()
    inherit_cache = True


@compiles(seconds_between, "postgresql")
def _seconds_between_postgresql(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(part, **options) for part in element.clauses)
    return f"CAST(extract(epoch FROM {end} - {start}) AS DOUBLE PRECISION)"


@compiles(seconds_between, "sqlite")
def _seconds_between_sqlite(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(part, **options) for part in element.clauses)
    return f"round((julianday({end}) - julianday({start})) * 86400, 3)"


class month_after(FunctionElement[date]):  # noqa: N801 - used like a SQL function
    """The first day of the month after the one that a day lies in; null for null."""

    name = "month_after"
    type = Date()
    inherit_cache = True


@compiles(month_after, "postgresql")
def _month_after_postgresql(element: month_after, compiler: SQLCompiler, **options: Any) -> str:
    day = compiler.process(element.clauses, **options)
    return f"CAST(date_trunc('month', CAST({day} AS TIMESTAMP)) + INTERVAL '1 month' AS DATE)"


@compiles(month_after, "sqlite")
def _month_after_sqlite(element: month_after, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, 'start of month', '+1 month')"
