"""The mark of a statement that reads or changes the rows of several tenants on purpose."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.sql.base import Executable

Statement = TypeVar("Statement", bound=Executable)


def across_tenants(statement: Statement, reason: str) -> Statement:
    """Mark a statement that touches tenants' rows without a condition on one tenant, and give the reason."""
    return statement.execution_options(across_tenants=reason)
