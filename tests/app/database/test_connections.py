"""Closing a database: what is still under way then leaves no connection behind."""

from __future__ import annotations

import pytest
from sqlalchemy import event, literal, select

from app.database.connections import Database
from app.settings import Settings


@pytest.mark.parametrize("kind", ["read", "write_autocommit"])
async def test_a_connection_that_comes_back_after_the_end_is_closed(settings: Settings, kind: str) -> None:
    database = Database(settings)
    seen: list[str] = []
    for engine in (database.reader, database.writer):
        for name, is_called in (("connect", "opened"), ("close", "closed"), ("close_detached", "closed")):
            event.listen(engine.sync_engine.pool, name, lambda *_, is_called=is_called: seen.append(is_called))

    async with getattr(database, kind)() as conn:
        await conn.rows(select(literal(1)))
        await database.close()
        assert seen == ["opened"]
        await conn.rows(select(literal(1)))

    assert seen == ["opened", "closed"]
