"""What requests are made of wherever they come from: the models, and kinds of field that several of them have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app import typed_text
from app.contract.field_words import told_fields
from app.errors import ValidationError
from app.numerals import is_numeral
from sql.bounds import NO_NUL

# What nobody takes for a number, in the place of what only some take for one.
NO_NUMBER: Final = "?"


def trimmed(value: object) -> object:
    """A text without the blanks around it, nor anything else that nobody sees."""
    return typed_text.stripped(value) if isinstance(value, str) else value


def blank_is_null(value: object) -> object:
    """A field that a form leaves empty is not there."""
    return (typed_text.stripped(value) or None) if isinstance(value, str) else value


def typed_slug(value: object) -> object:
    """A tenant's slug as it is stored, whatever a person has typed."""
    return typed_text.slug(value) if isinstance(value, str) else value


def typed_code(value: object) -> object:
    """A code without the blanks, dashes and line ends that a person has typed or pasted with it."""
    return typed_text.joined(value) if isinstance(value, str) else value


def sent_as_texts(model: type[BaseModel], sent: Mapping[str, str], *, is_typed: bool = False) -> dict[str, str]:
    """The members of a query or a form, in which a whole number is one only in digits alone.

    The library reads what ``int()`` reads, and ``1_0`` or ``+10`` would be ten. Around what a person has typed there
    may be blanks.
    """
    numbers, read = _whole_numbers(model), dict(sent)
    for name in numbers & sent.keys():
        text = sent[name].strip() if is_typed else sent[name]
        if text and not is_numeral(text):
            read[name] = NO_NUMBER
    return read


@cache
def _whole_numbers(model: type[BaseModel]) -> frozenset[str]:
    """The names under which the model's whole numbers are sent."""
    return frozenset(
        sent
        for name, field in model.model_fields.items()
        if int in _kinds(field.annotation)
        for sent in (name, field.alias or name)
    )


def _kinds(annotation: Any) -> Iterator[object]:
    """The types of which a value may be."""
    if get_origin(annotation) is Literal:
        return
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _name(value: str) -> str:
    if (fault := typed_text.fault_of_name(value)) is not None:
        raise ValueError(fault)
    return value


# For texts by which people tell things apart, in lists, mails, logs and tables: after the bounds of the text.
IS_NAME = AfterValidator(_name)


def wrong_fields(failure: pydantic.ValidationError, place: str) -> ValidationError:
    """What the library says of a request as the portal's error, which names every wrong field."""
    return ValidationError(*told_fields(failure, place))


TenantSlug = Annotated[
    str,
    BeforeValidator(typed_slug),
    Field(min_length=1, max_length=100, pattern=NO_NUL, description="The tenant's slug, in any case."),
]


class RequestModel(BaseModel):
    """A JSON body: types as stated, unknown members ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class CamelRequest(BaseModel):
    """A JSON body whose members may be written in camelCase or in snake_case; unknown ones are refused."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


class CamelChanges(CamelRequest):
    """What changes of a thing; what is absent stays as it is.

    So the document states no default: there are programs that send the ones they read, and would change everything.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    def changes(self) -> dict[str, Any]:
        """The members that were sent, by their names here, and only those."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
