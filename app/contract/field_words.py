"""What is wrong with a field, in a person's words: each goes on from the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError as Failure

from app.calendar import LOST_PLUS, has_lost_its_plus
from app.errors.requests import WrongField
from sql.bounds import NO_NUL

REQUIRED = "must be filled in"
TEXT = "must be a text"
WHOLE_NUMBER = "must be a whole number"
NUMBER = "must be a number"
OBJECT = "must be an object"
MOMENT = "must be a moment with an offset, such as 2026-01-31T08:00:00Z"
# By the library's kinds of error; what stands in braces is the error's context.
_WORDS = {
    "missing": REQUIRED,
    "extra_forbidden": "is not known here",
    "string_type": TEXT,
    "string_unicode": "must be text in UTF-8",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": WHOLE_NUMBER,
    "int_parsing": WHOLE_NUMBER,
    "int_parsing_size": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list",
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "json_type": "must be a text that holds JSON",
    "json_invalid": "must be JSON: {error}",
    "too_long": "must hold at most {max_length}, and has {actual_length}",
    "datetime_type": MOMENT,
    "datetime_parsing": MOMENT,
    "datetime_from_date_parsing": MOMENT,
    "datetime_object_invalid": MOMENT,
    "timezone_aware": MOMENT,
    "date_type": "must be a day such as 2026-01-31",
    "date_parsing": "must be a day such as 2026-01-31",
    "date_from_datetime_parsing": "must be a day such as 2026-01-31",
}


def told_fields(failure: Failure, place: str | None) -> tuple[WrongField, ...]:
    """Every field that a model has refused, in words; ``place`` says where the fields came from."""
    found = failure.errors(include_url=False)
    return tuple(WrongField(error["loc"], _in_words(error), error["type"], place) for error in found)


def _in_words(error: Mapping[str, Any]) -> str:
    kind, context, sent = str(error["type"]), error.get("ctx", {}), error["input"]
    if isinstance(sent, str) and kind in {"too_short", "too_long"}:
        # A text whose length is compared after a check of ours counts as a list of characters.
        kind = f"string_{kind}"
    if kind in {"string_too_short", "too_short"}:
        least = context["min_length"]
        if least == 1:
            return REQUIRED
        return f"must have at least {least} characters" if kind == "string_too_short" else f"must hold at least {least}"
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return "may not hold the character NUL" if pattern == NO_NUL else f"must be written as {pattern} says"
    if kind.startswith("datetime") and isinstance(sent, str) and has_lost_its_plus(sent):
        return LOST_PLUS
    if words := _WORDS.get(kind):
        return words.format(**context)
    # Of our own checks the library says that they are checks.
    return str(error["msg"]).removeprefix("Value error, ")
