"""Cursors of lists by age: the place of a row, as a text that leads to the rows behind it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

from app.errors import ValidationError

# Two numbers: the microseconds since 1970, or another one that orders the list, and the id of the row.
Place = tuple[int, int]
END = 2**62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Before every row of a list that begins with the newest.
NEWEST: Place = (int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000, END)


def place_at(moment: datetime, row_id: int = 0) -> Place:
    """The place of a row of this moment; without an id that before all rows of the moment, the newest first."""
    return (moment - EPOCH) // timedelta(microseconds=1), row_id


def moment_of(place: Place) -> datetime:
    """The moment of a place."""
    return EPOCH + timedelta(microseconds=place[0])


def cursor_of(place: Place) -> str:
    """The cursor that leads to what is behind this place."""
    return urlsafe_b64encode(f"{place[0]}.{place[1]}".encode()).decode().rstrip("=")


def place_of(cursor: str, *, minimum: int = 0, maximum: int = NEWEST[0], argument: str = "cursor") -> Place:
    """The place that a cursor stands for; raises ValidationError, of this argument, for what is none of such a list."""
    try:
        first, _, row_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(".")
        place = int(first), int(row_id)
    except ValueError:
        place = (0, -1)
    if not (minimum <= place[0] < maximum and 0 <= place[1] < END):
        raise ValidationError.of(argument, "is not one that was answered", kind="cursor")
    return place
