"""Moments as texts."""

from __future__ import annotations

from datetime import UTC, datetime

from ariadne import ScalarType
from graphql import GraphQLError

date_time = ScalarType("DateTime")


@date_time.serializer
def serialize_moment(value: object) -> datetime:
    """A moment as it is: whoever writes the answer writes it as a text in UTC."""
    if not isinstance(value, datetime):
        raise TypeError("only a moment is written as DateTime")
    return value


@date_time.value_parser
def parse_moment(value: object) -> datetime:
    """A moment in UTC; raises GraphQLError for what is none."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("DateTime must be a moment in ISO 8601, such as 2026-11-27T09:30:00Z.") from None
