"""The fields of a form: read into a model, and shown again with what was typed beside what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import pydantic
from pydantic import BaseModel

from app.errors import PortalError, ValidationError
from app.errors.requests import WrongField

Model = TypeVar("Model", bound=BaseModel)

# By the library's kinds of error; each goes on from the label of its field.
_WORDS = {
    "missing": "must be filled in",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must be filled in",
    "string_too_long": "must have at most {max_length} characters",
}


class Filled(NamedTuple):
    """What stands in the fields of a form, and what is wrong with them; ``alert`` is wrong with none of them."""

    values: Mapping[str, object]
    errors: Mapping[str, str]
    alert: str = ""

    @classmethod
    def with_error(cls, values: Mapping[str, object], error: PortalError, alert: str = "") -> Filled:
        """What was sent, with each error beside its field; ``alert`` replaces an error's own words."""
        if isinstance(error, ValidationError):
            return cls(values, {str(field.path[-1]): field.message for field in reversed(error.fields)})
        return cls(values, {}, alert or error.detail)


def read_fields(model: type[Model], form: Mapping[str, str]) -> Model:
    """The fields of a form as a model; one that is left empty counts as absent. Raises ValidationError in words."""
    fields = {name: value for name, value in form.items() if value.strip()}
    try:
        return model.model_validate(fields)
    except pydantic.ValidationError as failure:
        raise ValidationError(*(_in_words(dict(error)) for error in failure.errors(include_url=False))) from None


def _in_words(error: dict[str, Any]) -> WrongField:
    words = _WORDS.get(error["type"], "is not something that can be kept")
    return WrongField(error["loc"], words.format(**error.get("ctx", {})), error["type"])
