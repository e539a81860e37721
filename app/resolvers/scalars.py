"""Moments and days as texts, and numbers that are larger than the language's own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from ariadne import ScalarType
from graphql import GraphQLError, IntValueNode, ValueNode

from app.calendar import LOST_PLUS, has_lost_its_plus
from sql.bounds import MAX_ID

date_time = ScalarType("DateTime")
day = ScalarType("Date")
long = ScalarType("Long")


@date_time.serializer
def serialize_moment(value: object) -> datetime:
    """A moment as it is: whoever writes the answer writes it as a text in UTC."""
    if not isinstance(value, datetime):
        raise TypeError("only a moment is written as DateTime")
    return value


@date_time.value_parser
def parse_moment(value: object) -> datetime:
    """A moment in UTC; raises GraphQLError for what is none."""
    if isinstance(value, str) and has_lost_its_plus(value):
        raise GraphQLError(f"DateTime {LOST_PLUS}.")
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("DateTime must be a moment in ISO 8601, such as 2026-11-27T09:30:00Z.") from None


@day.serializer
def serialize_day(value: object) -> date:
    """A day as it is: whoever writes the answer writes it as a text."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError("only a day is written as Date")
    return value


@day.value_parser
def parse_day(value: object) -> date:
    """A day; raises GraphQLError for what is none."""
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise GraphQLError("Date must be a day in ISO 8601, such as 2026-11-27.") from None


@long.serializer
def serialize_long(value: object) -> int:
    """A whole number as it is."""
    return _long(value)


@long.value_parser
def parse_long(value: object) -> int:
    """A whole number; raises GraphQLError for what is none, or is larger than a database keeps."""
    return _long(value)


@long.literal_parser
def parse_long_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> int:
    """A whole number that stands in the document."""
    return _long(int(node.value) if isinstance(node, IntValueNode) else None)


def _long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_ID:
        raise GraphQLError("Long must be a whole number of up to 63 bits.")
    return value
