"""Deletions of rows whose time is over, some at a time: all of them at once may be more than one statement can take."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Delete, Table, and_, bindparam, delete, select, tuple_


def some_of(rows: Table, *is_over: ColumnElement[bool]) -> Delete:
    """Delete at most ``max_rows`` rows whose time is over.

    The condition stands there twice, because a row that somebody renews in between must stay.
    """
    condition, keys = and_(*is_over), list(rows.primary_key)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    return delete(rows).where(key.in_(select(*keys).where(condition).limit(bindparam("max_rows"))), condition)
