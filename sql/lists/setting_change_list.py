"""Pages of the history of settings, for operators."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, select, tuple_

from sql.counting import PAGE_SIZE
from sql.hidden import is_shown
from sql.tables import setting_changes
from sql.tables.columns import Instant

_columns = setting_changes.c
_conditions = {
    "scope": _columns.scope == bindparam("scope"),
    "project_id": _columns.project_id == bindparam("project_id"),
    "agent_type": _columns.agent_type == bindparam("agent_type"),
    "field": _columns.field == bindparam("field"),
    "actor": _columns.actor_name == bindparam("actor"),
    "since": _columns.changed_at >= bindparam("since"),
}


class ChangeFilter(NamedTuple):
    """The conditions of a page of changes; each one compares with the parameter of the same name."""

    scope: bool = False
    project_id: bool = False
    agent_type: bool = False
    field: bool = False
    actor: bool = False
    since: bool = False


def setting_change_page(filters: ChangeFilter) -> Select[Any]:
    """The changes behind a place, the newest first."""
    place = tuple_(bindparam("cursor_at", type_=Instant), bindparam("cursor_id"))
    return (
        select(
            _columns.id,
            _columns.scope,
            _columns.project_id,
            _columns.agent_type,
            _columns.field,
            _columns.old_value,
            _columns.new_value,
            _columns.version,
            _columns.actor_type,
            _columns.actor_name,
            _columns.changed_at,
        )
        .where(
            tuple_(_columns.changed_at, _columns.id) < place,
            is_shown(setting_changes),
            *(_conditions[name] for name, is_set in filters._asdict().items() if is_set),
        )
        .order_by(_columns.changed_at.desc(), _columns.id.desc())
        .limit(PAGE_SIZE)
    )
