"""What callers pass: pages within their bounds, and the inputs of mutations as models."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.contract.fields import IS_NAME, blank_is_null, trimmed, wrong_fields
from app.errors import ValidationError
from app.execution.costs import MAX_LIMIT
from app.numerals import read_numeral
from app.services.projects.rules import MAX_CLIENT_NAME, MAX_DESCRIPTION, MAX_INSTRUCTIONS, MAX_NAME
from app.services.runs.task_changes import MAX_ERROR
from sql.bounds import NO_NUL

Model = TypeVar("Model", bound=BaseModel)


def at_most(limit: int, argument: str = "limit") -> int:
    """How many to answer: what was asked for, or as many as are answered at most; raises ValidationError below 0."""
    if limit < 0:
        raise ValidationError.of(argument, "must be at least 0", kind="greater_than_equal")
    return min(limit, MAX_LIMIT)


def skipped(offset: int) -> int:
    """How many to leave out; raises ValidationError below 0."""
    if offset < 0:
        raise ValidationError.of("offset", "must be at least 0", kind="greater_than_equal")
    return offset


def row_id(text: str, argument: str = "id") -> int:
    """The number of a row that an id names; raises ValidationError for a text that is no id."""
    try:
        return read_numeral(text)
    except ValueError:
        raise ValidationError.of(argument, "is no id", kind="id") from None


Trimmed = BeforeValidator(trimmed)
ClientNameText = Annotated[str, Field(max_length=MAX_CLIENT_NAME, pattern=NO_NUL), IS_NAME]
ClientName = Annotated[ClientNameText | None, BeforeValidator(blank_is_null)]
Description = Annotated[str | None, Field(max_length=MAX_DESCRIPTION, pattern=NO_NUL)]


class ProjectConfig(BaseModel):
    """What may stand in the JSON text of a new project."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, strict=True)

    client_name: ClientName = None
    description: Description = None


class NewProject(BaseModel):
    """A new project; its objectives describe it where nothing else does."""

    name: Annotated[str, Trimmed, Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL), IS_NAME]
    objective: Annotated[str, Field(max_length=MAX_INSTRUCTIONS, pattern=NO_NUL)]
    config: pydantic.Json[ProjectConfig] = ProjectConfig()

    @property
    def described(self) -> dict[str, Any]:
        """The arguments of the use case that creates it."""
        description = self.config.description or self.objective[:MAX_DESCRIPTION]
        return {
            "name": self.name,
            "client_name": self.config.client_name or None,
            "description": description,
            "objectives": self.objective,
        }


class TaskChange(BaseModel):
    """What is to be changed of a task."""

    task_id: str
    status: str | None = None
    error_message: Annotated[str | None, Field(max_length=MAX_ERROR, pattern=NO_NUL)] = None


def read_input(values: dict[str, Any], model: type[Model]) -> Model:
    """The values that were given as a model; raises ValidationError, which names every wrong one."""
    return read_changes({name: value for name, value in values.items() if value is not None}, model)


def read_changes(values: dict[str, Any], model: type[Model]) -> Model:
    """The values that were given as a model in which null is a value; raises as ``read_input`` does."""
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as failure:
        raise wrong_fields(failure, "input") from None
