"""The fields of a form: read into a model, and shown again with what was typed beside what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import pydantic
from pydantic import BaseModel

from app.contract.field_words import told_fields
from app.contract.fields import sent_as_texts
from app.errors import PortalError, ValidationError

Model = TypeVar("Model", bound=BaseModel)


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
        return model.model_validate(sent_as_texts(model, fields, is_typed=True))
    except pydantic.ValidationError as failure:
        raise ValidationError(*told_fields(failure, None)) from None
