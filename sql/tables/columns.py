"""The metadata all tables share, the naming of constraints, kinds of columns, and indexes of some rows only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Enum, Identity, Integer, MetaData, text
from sqlalchemy.types import DateTime, TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """A moment in time, UTC-aware on both databases; SQLite would hand it back naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time instead of guessing its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time has no place in the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back that SQLite does not keep."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# SQLite numbers rows by itself only in a column of type INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


def id_column() -> Column[int]:
    """A primary key that both databases number by themselves."""
    return Column("id", Id, Identity(), primary_key=True)


def choice(name: str, *values: str, **options: Any) -> Column[str]:
    """A text column held to a closed set of values by a named check."""
    kind = Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return Column(name, kind, nullable=False, **options)


def only_where(condition: str) -> dict[str, Any]:
    """The options of an index that holds only the rows for which this is true, written alike on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
