"""Cursors of subscriptions: the place of an event among those of all runs, as a text that callers give back."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from app.errors import ValidationError
from app.services.runs.run_events import BEGINNING, LAST_NUMBER, LAST_RUN, Cursor

# No cursor that was answered is as long; of a longer text no more is read.
MAX_CHARACTERS = 100


def text_of(place: Cursor) -> str:
    """The cursor that leads to what follows this place."""
    return urlsafe_b64encode(".".join(map(str, place)).encode()).decode().rstrip("=")


def cursor_at(text: str) -> Cursor:
    """The place that a cursor stands for; raises ValidationError for a text that is none."""
    try:
        known = text[:MAX_CHARACTERS]
        xid, run_id, number = urlsafe_b64decode(known + "=" * (-len(known) % 4)).decode("ascii").split(".")
        place = Cursor(int(xid), int(run_id), int(number))
    except ValueError:
        raise wrong_cursor() from None
    is_within = abs(place.xid) <= -BEGINNING.xid and 0 <= place.run_id <= LAST_RUN and abs(place.number) <= LAST_NUMBER
    # Decoding passes over what is no part of a cursor.
    if not is_within or text_of(place) != text:
        raise wrong_cursor()
    return place


def wrong_cursor() -> ValidationError:
    """The error of an argument ``after`` that is no cursor."""
    return ValidationError.of("after", "is not one that was answered", kind="cursor")
