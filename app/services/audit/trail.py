"""The list of events for operators: filtered, page by page, the newest first or in the order of the trail."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from app.context import Context
from app.cursors import END, NEWEST, Place, cursor_of, moment_of, place_at, place_of
from app.events import NOWHERE, StoredEvent
from app.services.directory.lookup import find_tenant
from app.typed_text import stripped
from sql.statements import events as statements
from sql.statements.events import EventFilter

MAX_EVENTS = 200
EXPORTED_AT_ONCE = 500
# What a spreadsheet would take for a formula; full-width signs are what some of them take for the usual ones.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events are wanted; None means any. ``since`` is the first moment, ``until`` the first one after."""

    event_type: str | None = None
    severity: str | None = None
    tenant_slug: str | None = None
    tenant_id: int | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_oldest_first: bool = False


# Without it, Excel takes UTF-8 for the character set of its country.
BYTE_ORDER_MARK = "\ufeff".encode()

# What operators see of an event.
COLUMNS = tuple(name for name in StoredEvent._fields if name != "xid")


class EventPage(NamedTuple):
    """Some events, and where the next page begins; None at the end."""

    events: list[StoredEvent]
    next_cursor: str | None


async def list_events(ctx: Context, chosen: Chosen, *, cursor: str | None = None, page_size: int = 50) -> EventPage:
    """A page of events.

    Whatever is written meanwhile, going on from page to page neither skips nor repeats one that was there at the
    beginning; with the oldest first none is ever skipped, so that a program may follow the trail. Events of the last
    moment wait until no older transaction runs. Raises ValidationError for a cursor that is not ours,
    TenantNotFoundError.
    """
    place = _place(cursor, chosen)
    conditions = await _conditions(ctx, chosen)
    events = await _page(ctx, chosen, conditions, place, page_size + 1)
    next_cursor = cursor_behind(events[page_size - 1], chosen) if len(events) > page_size else None
    return EventPage(events[:page_size], next_cursor)


def cursor_behind(event: StoredEvent, chosen: Chosen) -> str:
    """Leads to the events behind this one, in the order that is chosen."""
    return cursor_of(_place_of(event, chosen))


async def export_events(ctx: Context, chosen: Chosen) -> AsyncGenerator[bytes, None]:
    """All the chosen events as CSV in UTF-8, in parts, each read for itself; raises TenantNotFoundError at once."""
    conditions = await _conditions(ctx, chosen)
    return _csv_parts(ctx, chosen, conditions)


async def _csv_parts(ctx: Context, chosen: Chosen, conditions: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    yield BYTE_ORDER_MARK + _csv([COLUMNS])
    place = _place(None, chosen)
    while events := await _page(ctx, chosen, conditions, place, EXPORTED_AT_ONCE):
        place = _place_of(events[-1], chosen)
        yield _csv([[_cell(getattr(event, column)) for column in COLUMNS] for event in events])
        if len(events) < EXPORTED_AT_ONCE:
            return


async def _conditions(ctx: Context, chosen: Chosen) -> dict[str, Any]:
    """The values of the conditions that apply, by their names."""
    values = {name: getattr(chosen, name) for name in EventFilter._fields}
    if chosen.tenant_slug is not None:
        async with ctx.read() as conn:
            values["tenant_id"] = (await find_tenant(conn, chosen.tenant_slug)).id
    return {name: value for name, value in values.items() if value is not None}


async def _page(
    ctx: Context, chosen: Chosen, conditions: dict[str, Any], place: Place, page_size: int
) -> list[StoredEvent]:
    if not chosen.is_oldest_first and chosen.until is not None:
        # The end is where the first page begins: as a condition beside the cursor, all newer events would be passed.
        conditions = {name: value for name, value in conditions.items() if name != "until"}
        place = min(place, place_at(chosen.until))
    cursor = {"cursor_xid": place[0]} if chosen.is_oldest_first else {"cursor_at": moment_of(place)}
    chosen_by = EventFilter(**dict.fromkeys(conditions, True))
    async with ctx.read() as conn:
        return await conn.many(
            statements.events_page(chosen_by, is_oldest_first=chosen.is_oldest_first),
            StoredEvent,
            **conditions,
            **cursor,
            cursor_id=place[1],
            page_size=page_size,
        )


def _place_of(event: StoredEvent, chosen: Chosen) -> Place:
    return event.cursor if chosen.is_oldest_first else place_at(event.created_at, event.id)


def _place(cursor: str | None, chosen: Chosen) -> Place:
    if chosen.is_oldest_first:
        return NOWHERE if cursor is None else place_of(cursor, minimum=NOWHERE[0], maximum=END)
    return NEWEST if cursor is None else place_of(cursor)


def _cell(value: object) -> str:
    """A value as text that no spreadsheet takes for a formula."""
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    if isinstance(value, str) and (text.startswith(FORMULA_STARTS) or stripped(text).startswith(FORMULA_STARTS)):
        return f"'{text}"
    return text


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
