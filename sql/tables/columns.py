"""The shared metadata, the names of constraints, column types, and partial indexes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Enum, Identity, Integer, MetaData, String, Text, text
from sqlalchemy.types import DateTime, TypeDecorator

from sql.folding import MAX_KEY

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
    """A moment in UTC, timezone-aware on both databases; SQLite by itself returns naive datetimes."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive datetime instead of guessing its time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """None where the driver itself makes datetimes: they have their time zone then, and each saves a call."""
        made_here = self.impl_instance.dialect_impl(dialect).result_processor(dialect, coltype)
        return None if made_here is None else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the time zone, which SQLite does not store."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# SQLite generates ids only in a primary key of type INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


# Ordered by their characters' numbers, whatever language the database is set to: as SQLite does.
FoldedName = String(MAX_KEY).with_variant(String(MAX_KEY, collation="C"), "postgresql")
FoldedText = Text().with_variant(Text(collation="C"), "postgresql")
Slug = String(100).with_variant(String(100, collation="C"), "postgresql")


def id_column() -> Column[int]:
    """A primary key that both databases generate."""
    return Column("id", Id, Identity(), primary_key=True)


def choice(name: str, *values: str, is_optional: bool = False, **options: Any) -> Column[str]:
    """A text column with a named check constraint that permits only these values, and null where it is optional."""
    kind = Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
    return Column(name, kind, nullable=is_optional, **options)


def only_where(condition: str) -> dict[str, Any]:
    """The options of a partial index whose condition is written the same on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
