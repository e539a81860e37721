"""Fields that only read an attribute of their record: of one object, or of a whole list column by column.

Whatever does not fit raises, and the library completes the objects in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import repeat
from math import isfinite
from operator import attrgetter
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLString,
    Undefined,
)
from graphql.type import get_nullable_type, is_leaf_type, is_non_null_type
from graphql.type.scalars import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT

# What the library neither waits for nor calls; anything else is left to it.
PLAIN: Final = frozenset({str, int, float, bool, date, datetime})

# The extension of a scalar that answers the values of this class as they are.
AS_IS: Final = "as_is"


class NotPlainError(Exception):
    """An object that the library has to complete."""


class PlainField(NamedTuple):
    """A field that is an attribute; without a name of one it is ``constant``."""

    response_name: str
    attribute: str | None
    leaf: Any
    is_non_null: bool
    constant: str = ""

    def completed(self, value: Any) -> Any:
        """One value as it is answered; raises NotPlainError, and what the library raises."""
        if value is None:
            if self.is_non_null:
                raise NotPlainError
            return None
        if type(value) not in PLAIN:
            raise NotPlainError
        return self._coerced(value)

    def column(self, values: list[Any]) -> Sequence[Any]:
        """The same of many values at once; most columns hold one type, which most often is answered as it is."""
        kinds = set(map(type, values))
        present = values
        if type(None) in kinds:
            if self.is_non_null:
                raise NotPlainError
            kinds.discard(type(None))
            present = [value for value in values if value is not None]
        if not kinds <= PLAIN:
            raise NotPlainError
        if len(kinds) == 1:
            (kind,) = kinds
            if self._stay(kind, present):
                return values
            if kind is int and self.leaf is GraphQLString:
                return [None if value is None else str(value) for value in values]
            if kind is str:
                # Such as those of an enum: few, each of them looked up once.
                known: dict[str | None, Any] = {value: self._coerced(value) for value in set(present)}
                return [known.get(value) for value in values]
        return [None if value is None else self._coerced(value) for value in values]

    def _stay(self, kind: type[Any], values: Sequence[Any]) -> bool:
        """Whether values of this type are answered as they are."""
        if kind is str:
            return self.leaf is GraphQLString
        if kind is bool:
            return self.leaf is GraphQLBoolean
        if kind is int:
            return self.leaf is GraphQLInt and min(values) >= GRAPHQL_MIN_INT and max(values) <= GRAPHQL_MAX_INT
        if kind is float:
            return self.leaf is GraphQLFloat and all(map(isfinite, values))
        return self.leaf.extensions.get(AS_IS) is kind

    def _coerced(self, value: Any) -> Any:
        coerced = self.leaf.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise NotPlainError
        return coerced


class Attribute:
    """The resolver of a field that is an attribute of its record; each field has its own."""

    __slots__ = ("name", "plain")

    def __init__(self, name: str) -> None:
        self.name = name
        # How the field is answered, known once it was asked for.
        self.plain: PlainField | None = None

    def __call__(self, of: Any, info: GraphQLResolveInfo[Any]) -> Any:
        """The attribute; raises AttributeError where the record has none."""
        return getattr(of, self.name)


class Plan(NamedTuple):
    """How the fields of a selection are answered; ``whole`` is the selection, which must live as long as its id."""

    whole: dict[str, Any]
    plain: tuple[PlainField, ...]
    others: dict[str, Any]

    def read(self, of: Any) -> dict[str, Any]:
        """The plain fields of a record; raises NotPlainError."""
        if not _may_be_read(type(of)):
            raise NotPlainError
        return {
            field.response_name: field.constant
            if field.attribute is None
            else field.completed(getattr(of, field.attribute))
            for field in self.plain
        }

    def rows(self, records: list[Any]) -> list[dict[str, Any]]:
        """The plain fields of many records; raises NotPlainError."""
        if not all(map(_may_be_read, set(map(type, records)))):
            raise NotPlainError
        columns = [
            repeat(field.constant)
            if field.attribute is None
            else field.column(list(map(attrgetter(field.attribute), records)))
            for field in self.plain
        ]
        names = [field.response_name for field in self.plain]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=False)]


def plain_field(parent_type: GraphQLObjectType, name: str) -> PlainField | None:
    """How a field of this type is answered in one pass; None where the library has to."""
    if name == "__typename":
        return PlainField(name, None, GraphQLString, is_non_null=True, constant=parent_type.name)
    field = parent_type.fields.get(name)
    if field is None or field.args or not isinstance(field.resolve, Attribute):
        return None
    if (plain := field.resolve.plain) is None:
        leaf = get_nullable_type(field.type)
        if not is_leaf_type(leaf):
            return None
        plain = field.resolve.plain = PlainField(name, field.resolve.name, leaf, is_non_null_type(field.type))
    return plain


def _may_be_read(kind: type[Any]) -> bool:
    """Whether the library would read the attributes of an object of this class at once."""
    return kind is not type(None) and not issubclass(kind, BaseException) and not hasattr(kind, "__await__")
