"""The history of settings as a list: filtered, page by page, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple

from app.context import Context
from app.cursors import NEWEST, cursor_of, moment_of, place_at, place_of
from app.services.llm.history import Scope
from sql.lists import setting_change_list as statements
from sql.lists.setting_change_list import ChangeFilter

MAX_CHANGES = 200
_setting_change_page = cache(statements.setting_change_page)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which changes are wanted; None means any. ``since`` is the first moment, ``until`` the first one after."""

    scope: Scope | None = None
    project_id: str | None = None
    agent_type: str | None = None
    field: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SettingChange(NamedTuple):
    """One field that was changed; its values are JSON, money in them is in 1e-9 USD."""

    id: int
    scope: Scope
    project_id: str | None
    agent_type: str | None
    field: str
    old_value: str
    new_value: str
    version: int
    actor_type: str
    actor_name: str
    changed_at: datetime


class ChangePage(NamedTuple):
    """Some changes, and where the next page begins; None at the end."""

    changes: list[SettingChange]
    next_cursor: str | None


async def list_setting_changes(
    ctx: Context, chosen: Chosen, *, cursor: str | None = None, page_size: int = 50
) -> ChangePage:
    """A page of changes.

    Going on from page to page neither skips nor repeats one that was there at the beginning. Raises ValidationError for
    a cursor that is not ours.
    """
    place = NEWEST if cursor is None else place_of(cursor)
    if chosen.until is not None:
        # The end is where the first page begins: as a condition beside the cursor, all newer changes would be passed.
        place = min(place, place_at(chosen.until))
    values = {name: getattr(chosen, name) for name in ChangeFilter._fields}
    values = {name: value for name, value in values.items() if value is not None}
    async with ctx.read() as conn:
        changes = await conn.many(
            _setting_change_page(ChangeFilter(**dict.fromkeys(values, True))),
            SettingChange,
            **values,
            cursor_at=moment_of(place),
            cursor_id=place[1],
            page_size=page_size + 1,
        )
    last = changes[page_size - 1] if len(changes) > page_size else None
    return ChangePage(changes[:page_size], last and cursor_of(place_at(last.changed_at, last.id)))
