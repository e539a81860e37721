"""How a statement says that it deliberately looks across tenants."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.sql.base import Executable

Statement = TypeVar("Statement", bound=Executable)


def across_tenants(statement: Statement, reason: str) -> Statement:
    """Mark a statement that touches tenants' rows without naming one tenant, and say why it may."""
    return statement.execution_options(across_tenants=reason)
