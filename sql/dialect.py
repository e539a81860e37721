"""The one place that knows PostgreSQL from SQLite: constructs that mean the same on both and are spelt differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Text,
    bindparam,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CTE, TableValuedAlias
from sqlalchemy.types import JSON, DateTime, LargeBinary, String, TypeDecorator, TypeEngine, to_instance

__all__ = [
    "batch_of_ids",
    "batch_rows",
    "events_horizon",
    "insert",
    "install_trigram_indexes",
    "installer",
    "looked_up",
    "migration_lock",
    "nested_rows",
    "planned_anew",
    "quarter_of",
    "transaction_id",
]


class _JsonElements(FunctionElement[Any]):
    """The elements of a JSON array given as text, one row each."""

    name = "json_elements"
    inherit_cache = True


class _JsonMembers(FunctionElement[Any]):
    """The elements of a JSON array that stands in a column of the row beside it."""

    name = "json_members"
    inherit_cache = True


class _JsonField(FunctionElement[Any]):
    """One member of a JSON object as a value of the element's type."""

    name = "json_field"
    inherit_cache = True


class batch_of_ids(FunctionElement[str]):  # noqa: N801 - used like a SQL function
    """Ids as the one parameter ``batch`` of another statement over ``batch_rows(id=...)``; an aggregate."""

    name = "batch_of_ids"
    type = Text()
    inherit_cache = True


class planned_anew(FunctionElement[bool]):  # noqa: N801 - used like a SQL function
    """True; a statement that has it among its conditions is planned for the values of its parameters, each time.

    PostgreSQL goes over to a plan for any values where that seems to cost no more, and for a pattern nobody knows what
    matches. Beside a parameter that is known to be true the series is left out; in a plan for any value it would have
    to be counted, and no such plan is ever chosen.
    """

    name = "planned_anew"
    type = Boolean()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("is_planned_anew", True, type_=Boolean))


class transaction_id(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The number of the transaction that is running; 0 on SQLite, which has one writer at a time."""

    name = "transaction_id"
    type = BigInteger()
    inherit_cache = True


class events_horizon(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The oldest transaction that may still be running: every number below it is committed or gone."""

    name = "events_horizon"
    type = BigInteger()
    inherit_cache = True


class quarter_of(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The number of the quarter of an hour, from 1970 in UTC, in which a moment lies; null for null."""

    name = "quarter_of"
    type = Integer()
    inherit_cache = True


@compiles(quarter_of, "postgresql")
def _quarter_of_postgresql(element: quarter_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)}) / 900) AS INTEGER)"


@compiles(quarter_of, "sqlite")
def _quarter_of_sqlite(element: quarter_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER) / 900"


@compiles(_JsonElements, "postgresql")
def _elements_postgresql(element: _JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    # Binary, or every member that is read would parse its row's text anew. And through an array, of which the planner
    # expects ten elements and not a hundred: for so many it would rather read a table of some thousand rows whole, at
    # every batch, than look each of them up.
    array = f"ARRAY(SELECT jsonb_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSONB)))"
    return f"(SELECT unnest({array}) AS value)"


@compiles(_JsonElements, "sqlite")
def _elements_sqlite(element: _JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_JsonMembers, "postgresql")
def _members_postgresql(element: _JsonMembers, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements({compiler.process(element.clauses, **options)})"


@compiles(_JsonMembers, "sqlite")
def _members_sqlite(element: _JsonMembers, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_JsonField, "postgresql")
def _field_postgresql(element: _JsonField, compiler: SQLCompiler, **options: Any) -> str:
    value, name = (compiler.process(part, **options) for part in element.clauses)
    if isinstance(element.type, JSON):
        return f"({value} -> '{name}')"
    member = f"({value} ->> '{name}')"
    if isinstance(element.type, DateTime):
        return f"CAST({member} AS TIMESTAMPTZ)"
    if isinstance(element.type, String):
        return member
    if isinstance(element.type, LargeBinary):
        return f"decode({member}, 'hex')"
    return f"CAST({member} AS {compiler.dialect.type_compiler_instance.process(element.type)})"


@compiles(_JsonField, "sqlite")
def _field_sqlite(element: _JsonField, compiler: SQLCompiler, **options: Any) -> str:
    value, name = (compiler.process(part, **options) for part in element.clauses)
    member = f"json_extract({value}, '$.{name}')"
    if isinstance(element.type, DateTime):
        # As they are kept: six digits after the second, which JSON leaves away where they are zero, and no offset. What
        # is not in UTC is null, which no column of a moment takes.
        digits = f"replace(replace({member}, 'T', ' '), '+00:00', '') || '.000000'"
        return f"CASE WHEN {member} LIKE '%+00:00' THEN substr({digits}, 1, 26) END"
    return f"unhex({member})" if isinstance(element.type, LargeBinary) else member


@compiles(batch_of_ids, "postgresql")
def _batch_of_ids_postgresql(element: batch_of_ids, compiler: SQLCompiler, **options: Any) -> str:
    ids = compiler.process(element.clauses, **options)
    return f"concat('[', string_agg(concat('{{\"id\":', {ids}, '}}'), ','), ']')"


@compiles(batch_of_ids, "sqlite")
def _batch_of_ids_sqlite(element: batch_of_ids, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array(json_object('id', {compiler.process(element.clauses, **options)}))"


@compiles(planned_anew, "postgresql")
def _planned_anew_postgresql(element: planned_anew, compiler: SQLCompiler, **options: Any) -> str:
    given = compiler.process(element.clauses, **options)
    return f"({given} OR (SELECT count(*) FROM generate_series(1, 1000000000)) > 0)"  # noqa: S608 - our own parameter


@compiles(planned_anew, "sqlite")
def _planned_anew_sqlite(element: planned_anew, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(transaction_id, "postgresql")
def _transaction_id_postgresql(element: transaction_id, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


@compiles(transaction_id, "sqlite")
def _transaction_id_sqlite(element: transaction_id, compiler: SQLCompiler, **options: Any) -> str:
    return "0"


@compiles(events_horizon, "postgresql")
def _events_horizon_postgresql(element: events_horizon, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"


@compiles(events_horizon, "sqlite")
def _events_horizon_sqlite(element: events_horizon, compiler: SQLCompiler, **options: Any) -> str:
    return "1"


def batch_rows(**columns: type[TypeEngine[Any]] | TypeEngine[Any]) -> CTE:
    """Rows of one bound parameter ``batch``, a JSON array of objects with these members.

    One SQL text serves any number of rows, so the compiled statement is always found in its cache. Moments and days
    travel as JSON libraries write them (RFC 3339), moments in UTC; bytes in hexadecimal.
    """
    elements = _JsonElements(bindparam("batch", type_=Text)).table_valued("value", name="batch")
    return select(*_fields(elements, columns)).select_from(elements).cte("batch_rows")


def nested_rows(
    nested: ColumnElement[str], **columns: type[TypeEngine[Any]] | TypeEngine[Any]
) -> tuple[TableValuedAlias, list[ColumnElement[Any]]]:
    """Rows of a JSON array in a column of a batch's row: what to join beside that row, on true, and its fields."""
    elements = _JsonMembers(nested).table_valued("value", name=nested.key)
    return elements, _fields(elements, columns)


def _fields(
    elements: TableValuedAlias, columns: Mapping[str, type[TypeEngine[Any]] | TypeEngine[Any]]
) -> list[ColumnElement[Any]]:
    fields: list[ColumnElement[Any]] = []
    for name, kind in columns.items():
        field = _JsonField(elements.c.value, literal_column(name))
        column_type = to_instance(kind)
        field.type = column_type.impl_instance if isinstance(column_type, TypeDecorator) else column_type
        fields.append(field.label(name))
    return fields


def looked_up(column: Column[Any], key: Column[Any], reference: Column[Any]) -> ColumnElement[Any]:
    """A column of the row that ``reference`` of a changed row points to, for its RETURNING.

    Spelt out, because SQLAlchemy drops the table names inside RETURNING on SQLite, and an ``id`` would be anybody's.
    """
    name, own, other = (literal_column(f"{part.table.name}.{part.key}", part.type) for part in (column, key, reference))
    return select(name).select_from(column.table).where(own == other).scalar_subquery().label(column.key)


def installer(*, sqlite: Sequence[str], postgresql: Sequence[str]) -> Callable[..., None]:
    """What runs these statements on a database that was just made, for what only the database itself can keep."""

    def install(target: Any, connection: Connection, **options: Any) -> None:
        for statement in sqlite if connection.dialect.name == "sqlite" else postgresql:
            connection.exec_driver_sql(statement)

    return install


# What finds rows by a part of a text. Not declared on the tables: a server may not offer it. On all rows, because the
# planner does not look at a partial index's statistics, and would not know whether few or all match.
TRIGRAM_INDEXES = {
    f"ix_{table}_{column}_trigram": f"CREATE INDEX ix_{table}_{column}_trigram ON {table}"
    f" USING gin (lower({column}) gin_trgm_ops)"
    for table, column in (("tenants", "name"), ("tenants", "slug"), ("activation_codes", "label"), ("devices", "label"))
}


def install_trigram_indexes(target: Any, connection: Connection, **options: Any) -> None:
    """Make the indexes for searching where the server offers pg_trgm and lets us have it; search works without."""
    if connection.dialect.name == "sqlite":
        return
    offered = connection.execute(text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if offered is None:
        return
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for statement in TRIGRAM_INDEXES.values():
                connection.execute(text(statement))
    except DBAPIError:
        # Nothing depends on it; ``portal doctor`` says what the server offers.
        return


def migration_lock(connection: Connection) -> None:
    """Let one process migrate at a time, and all of a migration or none of it be seen."""
    if connection.dialect.name == "sqlite":
        # Its driver begins no transaction before a change of the schema by itself.
        connection.execute(text("BEGIN IMMEDIATE"))
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(7046029254386353131)"))
