"""Moments: aware of their zone wherever they are stored and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import DateTime, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from support.live import LiveServer

from app.database.connections import as_batch
from sql.dialect import batch_rows
from sql.tables import metadata
from sql.tables.columns import Instant


def test_a_time_without_a_zone_is_refused_and_none_comes_back() -> None:
    moment = datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    for dialect in (postgresql.dialect(), sqlite.dialect()):
        with pytest.raises(ValueError, match="naive"):
            Instant().process_bind_param(datetime(2025, 1, 1, 12), dialect)  # noqa: DTZ001 - that is the point
        assert str(Instant().process_bind_param(moment, dialect)) == "2025-01-01 06:30:00+00:00"
        assert str(Instant().process_result_value(datetime(2025, 1, 1, 12), dialect)) == "2025-01-01 12:00:00+00:00"  # noqa: DTZ001


def test_every_moment_is_stored_with_its_zone() -> None:
    columns = [column for table in metadata.tables.values() for column in table.c]
    moments = [column for column in columns if isinstance(column.type, Instant | DateTime)]

    assert len(moments) > 30
    assert [str(column) for column in moments if not isinstance(column.type, Instant)] == []


@pytest.mark.parametrize("microsecond", [0, 1, 120, 999_999])
async def test_a_moment_of_a_batch_is_the_moment_that_any_statement_stores(
    sanic_client: LiveServer, microsecond: int
) -> None:
    rows = batch_rows(at=Instant)
    same = select((rows.c.at == bindparam("at", type_=Instant)).label("is_same"))
    moment = datetime(2025, 1, 1, 23, 59, 59, microsecond, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=2)))

    async with sanic_client.ctx.read() as conn:
        found = await conn.rows(same, batch=as_batch([{"at": moment}, {"at": None}, {"at": elsewhere}]), at=moment)

    # SQLite compares texts, and takes none that is not in UTC.
    assert [row.is_same for row in found] == [True, None, None if sanic_client.runtime.db.is_sqlite else True]
