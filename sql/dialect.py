"""SQL that differs between PostgreSQL and SQLite, with sql/moments.py and sql/sums.py: what means the same on both."""

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
    Select,
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
    "chain",
    "chains_changes",
    "commit_place",
    "events_horizon",
    "force_custom_plan",
    "insert",
    "install_trigram_indexes",
    "installer",
    "json_elements",
    "json_rows",
    "migration_lock",
    "named_lock",
    "nested_rows",
    "referenced_column",
    "transaction_id",
]


class _JsonElements(FunctionElement[Any]):
    """The elements of a JSON array that is a text, one row each."""

    name = "json_elements"
    inherit_cache = True


class _JsonMembers(FunctionElement[Any]):
    """The elements of a JSON array in a column, joined to the row of that column."""

    name = "json_members"
    inherit_cache = True


class _JsonTexts(FunctionElement[Any]):
    """The elements of a JSON array of plain values that a text column holds, as texts."""

    name = "json_texts"
    inherit_cache = True


class _JsonField(FunctionElement[Any]):
    """One member of a JSON object, as a value of this element's type."""

    name = "json_field"
    inherit_cache = True


class batch_of_ids(FunctionElement[str]):  # noqa: N801 - used like a SQL function
    """An aggregate: the ids as the parameter ``batch`` of another statement over ``batch_rows(id=...)``."""

    name = "batch_of_ids"
    type = Text()
    inherit_cache = True


class json_rows(FunctionElement[str]):  # noqa: N801 - used like a SQL function
    """An aggregate: the rows of these columns as a JSON array of arrays, in any order; null where there are no rows.

    SQLite orders what it aggregates only since version 3.44, so whoever reads the rows puts them in order.
    """

    name = "json_rows"
    type = Text()
    inherit_cache = True


class force_custom_plan(FunctionElement[bool]):  # noqa: N801 - used like a SQL function
    """A condition that is true, and makes PostgreSQL plan the statement for its parameters' values at each execution.

    PostgreSQL switches to a generic plan, made for any values, when its estimated cost is no higher. For a pattern that
    estimate is worthless, because it depends on the pattern how many rows match. When the parameter's value is known,
    the planner drops the series from the condition; a generic plan would have to count the series, which makes it so
    expensive that PostgreSQL never chooses it.
    """

    name = "force_custom_plan"
    type = Boolean()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("is_custom_plan", True, type_=Boolean))


class named_lock(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """Waits for the lock with this name and holds it until the transaction ends; 0 on SQLite, which has one writer."""

    name = "named_lock"
    type = Integer()
    inherit_cache = True


class transaction_id(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The id of the current transaction; 0 on SQLite, which has one writer at a time."""

    name = "transaction_id"
    type = BigInteger()
    inherit_cache = True


class commit_place(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The transaction's id, or the number given if that is greater; on SQLite one above all that a table ever had."""

    name = "commit_place"
    type = BigInteger()
    inherit_cache = True


class events_horizon(FunctionElement[int]):  # noqa: N801 - used like a SQL function
    """The oldest transaction id that may still be running, on SQLite none: every id below it is committed or undone."""

    name = "events_horizon"
    type = BigInteger()
    inherit_cache = True


@compiles(_JsonElements, "postgresql")
def _elements_postgresql(element: _JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    # JSONB, because with JSON each access to a member parses the text of its row again. The array is there for the
    # planner: it expects ten rows of an array and a hundred of a set-returning function. With a hundred it would scan a
    # table of some thousand rows at every batch instead of using the index.
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


@compiles(_JsonTexts, "postgresql")
def _texts_postgresql(element: _JsonTexts, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSONB))"


@compiles(_JsonTexts, "sqlite")
def _texts_sqlite(element: _JsonTexts, compiler: SQLCompiler, **options: Any) -> str:
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
        # The format in which SQLite stores moments: always six digits after the second, which JSON omits where they are
        # zero, and no offset. A moment that is not in UTC becomes null, which the columns' NOT NULL refuses.
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


@compiles(json_rows, "postgresql")
def _json_rows_postgresql(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg(json_build_array({compiler.process(element.clauses, **options)})) AS TEXT)"


@compiles(json_rows, "sqlite")
def _json_rows_sqlite(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    row = f"json_array({compiler.process(element.clauses, **options)})"
    return f"CASE WHEN count(*) > 0 THEN json_group_array({row}) END"


@compiles(force_custom_plan, "postgresql")
def _force_custom_plan_postgresql(element: force_custom_plan, compiler: SQLCompiler, **options: Any) -> str:
    is_true = compiler.process(element.clauses, **options)
    return f"({is_true} OR (SELECT count(*) FROM generate_series(1, 1000000000)) > 0)"  # noqa: S608 - our own parameter


@compiles(force_custom_plan, "sqlite")
def _force_custom_plan_sqlite(element: force_custom_plan, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(named_lock, "postgresql")
def _named_lock_postgresql(element: named_lock, compiler: SQLCompiler, **options: Any) -> str:
    # The function itself returns nothing that could be read.
    key = f"hashtextextended({compiler.process(element.clauses, **options)}, 0)"
    return f"CASE WHEN pg_advisory_xact_lock({key}) IS NULL THEN 1 ELSE 0 END"


@compiles(named_lock, "sqlite")
def _named_lock_sqlite(element: named_lock, compiler: SQLCompiler, **options: Any) -> str:
    return f"(0 AND {compiler.process(element.clauses, **options)} IS NULL)"


@compiles(transaction_id, "postgresql")
def _transaction_id_postgresql(element: transaction_id, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


@compiles(transaction_id, "sqlite")
def _transaction_id_sqlite(element: transaction_id, compiler: SQLCompiler, **options: Any) -> str:
    return "0"


@compiles(commit_place, "postgresql")
def _commit_place_postgresql(element: commit_place, compiler: SQLCompiler, **options: Any) -> str:
    number, *_ = (compiler.process(part, **options) for part in element.clauses)
    return f"greatest({_transaction_id_postgresql(transaction_id(), compiler)}, {number})"


@compiles(commit_place, "sqlite")
def _commit_place_sqlite(element: commit_place, compiler: SQLCompiler, **options: Any) -> str:
    _, table, column = (compiler.process(part, **options) for part in element.clauses)
    now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000"
    return f"(SELECT max(coalesce(max({column}), 0) + 1, {now}) FROM {table})"  # noqa: S608 - our own names


@compiles(events_horizon, "postgresql")
def _events_horizon_postgresql(element: events_horizon, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"


@compiles(events_horizon, "sqlite")
def _events_horizon_sqlite(element: events_horizon, compiler: SQLCompiler, **options: Any) -> str:
    return "9223372036854775807"


def chains_changes(backend: str) -> bool:
    """Whether one statement may change several tables: a change in a common table expression, which SQLite has not."""
    return backend == "postgresql"


def chain(statement: Select[Any]) -> Select[Any]:
    """Mark a statement that changes several tables; it is for servers of which ``chains_changes`` is true."""
    return statement.execution_options(is_chain=True)


def batch_rows(**columns: type[TypeEngine[Any]] | TypeEngine[Any]) -> CTE:
    """The rows of the one bound parameter ``batch``, a JSON array of objects with these members.

    One SQL text serves any number of rows, so the statement is compiled once and then cached. Moments and days are in
    the format of RFC 3339, moments in UTC; bytes are in hexadecimal.
    """
    elements = _JsonElements(bindparam("batch", type_=Text)).table_valued("value", name="batch")
    return select(*_fields(elements, columns)).select_from(elements).cte("batch_rows")


def nested_rows(
    nested: ColumnElement[str], **columns: type[TypeEngine[Any]] | TypeEngine[Any]
) -> tuple[TableValuedAlias, list[ColumnElement[Any]]]:
    """The rows of a JSON array in a column of a batch: a FROM element to join on true, and the fields of its rows."""
    elements = _JsonMembers(nested).table_valued("value", name=nested.key)
    return elements, _fields(elements, columns)


def json_elements(column: ColumnElement[str]) -> TableValuedAlias:
    """The elements of a JSON array in a text column, to join on true: a row each, whose ``value`` is plain."""
    return _JsonTexts(column).table_valued("value", name=f"{column.key}_elements")


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


def referenced_column(column: Column[Any], key: Column[Any], reference: Column[Any]) -> ColumnElement[Any]:
    """A column of another table's row, for RETURNING: the row whose ``key`` equals ``reference`` of the changed row.

    The names are literal, because SQLAlchemy omits the table names inside RETURNING on SQLite, and a bare ``id`` would
    be ambiguous.
    """
    name, own, other = (literal_column(f"{part.table.name}.{part.key}", part.type) for part in (column, key, reference))
    return select(name).select_from(column.table).where(own == other).scalar_subquery().label(column.key)


def installer(*, sqlite: Sequence[str], postgresql: Sequence[str]) -> Callable[..., None]:
    """A listener for ``after_create`` that runs these statements, such as those that create triggers."""

    def install(target: Any, connection: Connection, **options: Any) -> None:
        for statement in sqlite if connection.dialect.name == "sqlite" else postgresql:
            connection.exec_driver_sql(statement)

    return install


# Indexes for searching a part of a text. They are not declared on the tables, because not every server offers pg_trgm.
# They cover all rows, because the planner ignores the statistics of a partial index, and could not tell whether a
# pattern matches few rows or all.
TRIGRAM_INDEXES = {
    f"ix_{table}_{column}_trigram": f"CREATE INDEX ix_{table}_{column}_trigram ON {table}"
    f" USING gin ({column} gin_trgm_ops)"
    for table, column in (
        ("tenants", "folded_name"),
        ("tenants", "slug"),
        ("activation_codes", "folded_label"),
        ("devices", "folded_label"),
        ("projects", "searched"),
    )
}


def install_trigram_indexes(target: Any, connection: Connection, **options: Any) -> None:
    """Create the search indexes where the server offers pg_trgm and permits it; searches work without them, slower."""
    if connection.dialect.name == "sqlite":
        return
    extension = connection.execute(text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if extension is None:
        return
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for statement in TRIGRAM_INDEXES.values():
                connection.execute(text(statement))
    except DBAPIError:
        # Nothing depends on the indexes; ``portal doctor`` reports whether they are available.
        return


def migration_lock(connection: Connection) -> None:
    """Let one process migrate at a time; other connections see all of its migrations, or none."""
    if connection.dialect.name == "sqlite":
        # The SQLite driver does not begin a transaction before DDL.
        connection.execute(text("BEGIN IMMEDIATE"))
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(7046029254386353131)"))
