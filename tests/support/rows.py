"""Looking at what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, func, select
from sqlalchemy.engine import Row
from support.live import LiveServer

from app.events import NOWHERE, StoredEvent
from sql.folding import key
from sql.statements.events import EventFilter, events_page
from sql.tables import metadata

# One statement for all tables: hundreds of tests ask it twice.
EVERY_COUNT = select(
    *(select(func.count()).select_from(table).scalar_subquery().label(name) for name, table in metadata.tables.items())
)


async def rows(live: LiveServer, statement: Executable, **values: Any) -> Sequence[Row[Any]]:
    """The rows of any statement."""
    async with live.ctx.read() as conn:
        return await conn.rows(statement, **values)


async def change(live: LiveServer, statement: Executable, **values: Any) -> int:
    """Change rows behind the portal's back."""
    async with live.ctx.write() as conn:
        return await conn.affected(statement, **values)


async def row_counts(live: LiveServer) -> dict[str, int]:
    """How many rows every table has."""
    (counts,) = await rows(live, EVERY_COUNT)
    return dict(counts._mapping)


async def trail_after(live: LiveServer, cursor: tuple[int, int] = NOWHERE, size: int = 10_000) -> list[StoredEvent]:
    """The next events behind a cursor, as a program that follows the trail is told of them."""
    statement = events_page(EventFilter(), is_oldest_first=True)
    xid, event_id = cursor
    found = await rows(live, statement, cursor_xid=xid, cursor_id=event_id, page_size=size)
    return [StoredEvent(*event) for event in found]


async def told(live: LiveServer, tenant_id: int | None = None) -> list[StoredEvent]:
    """The audit trail, or one tenant's part of it, oldest first."""
    return [event for event in await trail_after(live) if tenant_id is None or event.tenant_id == tenant_id]


def named(name: str) -> dict[str, str | None]:
    """A tenant's name with its key, for a change that no use case makes."""
    return {"name": name, "folded_name": key(name)}


def labelled(label: str) -> dict[str, str | None]:
    """The label of a code or a device with its key, for a change that no use case makes."""
    return {"label": label, "folded_label": key(label)}
