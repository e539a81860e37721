"""Pages of the usage log of models, for operators."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, literal_column, select, tuple_

from sql.counting import PAGE_SIZE, SKIP, bounded_count, page_with_total
from sql.matching import is_of_tenant_named
from sql.scope import across_tenants
from sql.tables import llm_calls
from sql.tables.columns import Instant

# The order of every page, which each of the table's indexes has.
_ORDER = (llm_calls.c.created_at.desc(), llm_calls.c.id.desc())

_shown = (
    llm_calls.c.id,
    llm_calls.c.created_at,
    llm_calls.c.agent_type,
    llm_calls.c.provider,
    llm_calls.c.model,
    llm_calls.c.input_tokens,
    llm_calls.c.output_tokens,
    llm_calls.c.cost,
    llm_calls.c.duration_ms,
    llm_calls.c.success,
    llm_calls.c.error_message,
    llm_calls.c.task_description,
    llm_calls.c.cached,
    llm_calls.c.tenant_id,
    llm_calls.c.project_id,
    llm_calls.c.run_id,
)


# Written as in the partial indexes: SQLAlchemy would compare with a number on SQLite, which then uses neither.
_STATES: dict[str, ColumnElement[Any]] = {
    "success": literal_column("llm_calls.success"),
    "error": literal_column("NOT llm_calls.success"),
    "cached": literal_column("llm_calls.cached"),
}


class CallFilter(NamedTuple):
    """The conditions of a page of calls; each one compares with the parameter of the same name."""

    tenant_slug: bool = False
    project_id: bool = False
    agent_type: bool = False
    provider: bool = False


def call_page(
    filters: CallFilter, status: Literal["success", "error", "cached"] | None, is_after_cursor: bool
) -> Select[Any]:
    """A page of calls from the moment ``since`` on, newest first, with their total; after a cursor or ``skip``."""
    conditions = {
        "tenant_slug": is_of_tenant_named(llm_calls),
        "project_id": llm_calls.c.project_id == bindparam("project_id"),
        "agent_type": llm_calls.c.agent_type == bindparam("agent_type"),
        "provider": llm_calls.c.provider == bindparam("provider"),
    }
    matches = select(llm_calls.c.id).where(
        llm_calls.c.created_at >= bindparam("since"),
        *(conditions[name] for name, is_set in filters._asdict().items() if is_set),
    )
    if status is not None:
        matches = matches.where(_STATES[status])
    # The order keeps the count to an index: for a value that nothing has, the whole table would be read without it.
    matches = matches.order_by(*_ORDER)
    page = matches.limit(PAGE_SIZE)
    if is_after_cursor:
        cursor = tuple_(bindparam("cursor_at", type_=Instant), bindparam("cursor_id", type_=BigInteger))
        page = page.where(tuple_(llm_calls.c.created_at, llm_calls.c.id) < cursor)
    else:
        page = page.offset(SKIP)
    rows = page.subquery("page")
    total, source = page_with_total(bounded_count(matches), rows)
    statement = select(total, *_shown).select_from(source).outerjoin(llm_calls, llm_calls.c.id == rows.c.id)
    return across_tenants(statement.order_by(*_ORDER), "operators see the calls of all tenants")
