"""What several lists share: a tenant by its slug, a search for a text, and ids in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
    tuple_,
    union,
)

from sql.counting import MAX_COUNTED, ids_with_total
from sql.dialect import batch_rows
from sql.tables import tenants
from sql.tables.columns import Instant


def is_of_tenant_named(table: Table) -> ColumnElement[bool]:
    """Whether a row is of the tenant whose slug is the parameter ``tenant_slug``."""
    tenant_id = select(tenants.c.id).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery()
    return and_(table.c.tenant_id == tenant_id)


def named_tenant_matches() -> ColumnElement[bool]:
    """Whether the search matches the name of the tenant whose slug is ``tenant_slug``: compared once, for all rows."""
    name = select(tenants.c.folded_name).where(tenants.c.slug == bindparam("tenant_slug")).scalar_subquery()
    return contains_pattern(name)


def tenants_matching() -> Select[Any]:
    """The ids of the tenants whose name matches the search."""
    return select(tenants.c.id).where(contains_pattern(tenants.c.folded_name))


def contains_pattern(folded: ColumnElement[Any], parameter: str = "pattern") -> ColumnElement[bool]:
    """Whether a folded text matches the parameter, a pattern of a folded text."""
    return folded.like(bindparam(parameter), escape="\\")


def lower_contains_pattern(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a text without a folded key matches the parameter ``pattern``, whatever the case of its letters."""
    return func.lower(column).like(func.lower(bindparam("pattern")), escape="\\")


def is_behind_id(rows: FromClause) -> ColumnElement[bool]:
    """Whether a row is behind the cursor of a list that is ordered by its ids, the newest first."""
    return and_(rows.c.id < bindparam("cursor_id", type_=BigInteger))


def is_behind_age(rows: FromClause) -> ColumnElement[bool]:
    """Whether a row is behind the cursor of a list that is ordered by age, the newest first."""
    cursor = tuple_(bindparam("cursor_at", type_=Instant), bindparam("cursor_id", type_=BigInteger))
    return tuple_(rows.c.created_at, rows.c.id) < cursor


def any_of(searches: Sequence[Select[Any]], *, is_after_cursor: bool = False) -> Select[Any]:
    """A page of the ids that any of the searches matches, newest first.

    Each search selects the columns by which its rows are ordered, the most important first; the last is the id. A union
    instead of one OR, so that each search uses its own index; each stops above the bound of the count. After a cursor
    the searches select the ids alone.
    """
    limited = [search.limit(MAX_COUNTED + 1).subquery() for search in searches]
    matches = union(*(select(*search.c) for search in limited)).subquery("matches")
    behind = is_behind_id if is_after_cursor else None
    return ids_with_total(select(*matches.c), lambda rows: [column.desc() for column in rows.c], behind)


page_ids = batch_rows(id=BigInteger)
