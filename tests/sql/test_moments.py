"""Moments: aware of their zone wherever they are stored and read."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import DateTime
from sqlalchemy.dialects import postgresql, sqlite

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
