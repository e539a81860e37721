"""Tenants that are being deleted: the condition that hides them and what is theirs, and the mark of what needs none."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import ColumnElement, FromClause, or_, select
from sqlalchemy.sql.base import Executable

from sql.tables import projects, tenants

Statement = TypeVar("Statement", bound=Executable)

# For statements that read the tenants themselves.
tenant_is_shown = tenants.c.deleted_at.is_(None)

# The few that are being deleted, from an index of their own. It depends on no other row, so the database looks them up
# once in a statement, however many rows it compares.
_hidden_tenants = select(tenants.c.id).where(tenants.c.deleted_at.is_not(None))
_hidden_projects = (
    select(projects.c.project_id)
    .join(tenants, tenants.c.id == projects.c.tenant_id)
    .where(tenants.c.deleted_at.is_not(None))
)


def is_shown(rows: FromClause) -> ColumnElement[bool]:
    """Whether a row belongs to no tenant that is being deleted, by its ``tenant_id`` or else by its ``project_id``.

    A row of nobody is shown: compared with a list, null is neither in it nor not.
    """
    name, hidden = ("tenant_id", _hidden_tenants) if "tenant_id" in rows.c else ("project_id", _hidden_projects)
    column = rows.c[name]
    is_not_hidden = column.not_in(hidden)
    return or_(column.is_(None), is_not_hidden) if getattr(column, "nullable", False) else is_not_hidden


def hidden_too(statement: Statement, reason: str) -> Statement:
    """Mark a statement that touches the rows of hidden tenants as well, and give the reason."""
    return statement.execution_options(hidden_too=reason)
