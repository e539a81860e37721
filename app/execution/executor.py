"""The executor: fields that only read an attribute are read in one pass, everything else goes the library's way.

For each field the library builds a path and a description of the call, which takes ten times as long as reading an
attribute. An object that does not fit, for whatever reason, is left to the library as a whole, and with it the errors:
so answers are the same, as a test over generated documents shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from graphql import GraphQLLeafType, GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo, Undefined
from graphql.execution.executor_throwing_on_incremental import ExecutorThrowingOnIncremental
from graphql.type import get_nullable_type, is_leaf_type, is_non_null_type, is_object_type

# What the library neither waits for nor calls; anything else is left to it.
PLAIN: Final = frozenset({str, int, float, bool, date, datetime})


class Attribute:
    """The resolver of a field that is an attribute of its record."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, of: Any, info: GraphQLResolveInfo[Any]) -> Any:
        """The attribute; raises AttributeError where the record has none."""
        return getattr(of, self.name)


class NotPlainError(Exception):
    """An object that the library has to complete."""


class PlainField(NamedTuple):
    """A field that is an attribute; without a name of one it is ``constant``."""

    response_name: str
    attribute: str | None
    coerce: Callable[[Any], Any]
    is_non_null: bool
    constant: str = ""


class Plan(NamedTuple):
    """How the fields of a selection are answered; ``whole`` is the selection, which must live as long as its id."""

    whole: dict[str, Any]
    plain: tuple[PlainField, ...]
    others: dict[str, Any]

    def read(self, of: Any) -> dict[str, Any]:
        """The plain fields of a record; raises NotPlainError."""
        if of is None or isinstance(of, BaseException) or hasattr(type(of), "__await__"):
            raise NotPlainError
        values: dict[str, Any] = {}
        for response_name, attribute, coerce, is_non_null, constant in self.plain:
            if attribute is None:
                values[response_name] = constant
                continue
            value = getattr(of, attribute)
            if value is None:
                if is_non_null:
                    raise NotPlainError
            elif type(value) in PLAIN:
                value = coerce(value)
                if value is None or value is Undefined:
                    raise NotPlainError
            else:
                raise NotPlainError
            values[response_name] = value
        return values


class PlainExecutor(ExecutorThrowingOnIncremental):
    """The library's executor with a short way for plain fields."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._plans: dict[int, Plan] = {}

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Any,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        """A list; in one pass where all of its objects are plain."""
        kind = get_nullable_type(item_type)
        if is_object_type(kind) and isinstance(items, list) and kind.is_type_of is None:
            fields, deferred, _ = self.collect_subfields(kind, field_details_list)
            plan = self._plan(kind, fields)
            if plan.plain and not plan.others and not deferred:
                try:
                    return [plan.read(item) for item in items]
                except Exception:  # noqa: BLE001, S110 - whatever it is, the library says it
                    pass
        return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: dict[str, Any],
        position_context: Any,
    ) -> Any:
        """The fields of one object, the plain ones first; they call nothing that could tell the order."""
        plan = self._plan(parent_type, grouped_field_set)
        if not plan.plain:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        try:
            plain = plan.read(source_value)
        except Exception:  # noqa: BLE001 - whatever it is, the library says it
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        if not plan.others:
            return plain
        others: Any = super().execute_fields(parent_type, source_value, path, plan.others, position_context)
        return _awaited(plan, plain, others) if self.is_awaitable(others) else _together(plan, plain, others)

    def _plan(self, parent_type: GraphQLObjectType, fields: dict[str, Any]) -> Plan:
        if (plan := self._plans.get(id(fields))) is None:
            plan = self._plans[id(fields)] = self._planned(parent_type, fields)
        return plan

    def _planned(self, parent_type: GraphQLObjectType, fields: dict[str, Any]) -> Plan:
        plain: list[PlainField] = []
        others: dict[str, Any] = {}
        for response_name, details in fields.items():
            field = None if self.middleware_manager else self._plain_field(parent_type, response_name, details)
            if field is None:
                others[response_name] = details
            else:
                plain.append(field)
        # The name of the type alone is no reason: it stands beside fields that are none of a record's.
        is_record = any(field.attribute is not None for field in plain)
        return Plan(fields, tuple(plain), others) if is_record else Plan(fields, (), fields)

    def _plain_field(self, parent_type: GraphQLObjectType, response_name: str, details: Any) -> PlainField | None:
        name = details[0].node.name.value
        if name == "__typename":
            return PlainField(response_name, None, str, is_non_null=True, constant=parent_type.name)
        field = self.schema.get_field(parent_type, name)
        if field is None or field.args or not isinstance(field.resolve, Attribute):
            return None
        kind: Any = get_nullable_type(field.type)
        if not is_leaf_type(kind):
            return None
        return PlainField(response_name, field.resolve.name, _coerce(kind), is_non_null_type(field.type))


def _coerce(kind: GraphQLLeafType) -> Callable[[Any], Any]:
    return kind.coerce_output_value


def _together(plan: Plan, plain: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """All fields in the order in which they were asked for."""
    return {
        name: plain[name] if name in plain else others[name] for name in plan.whole if name in plain or name in others
    }


async def _awaited(plan: Plan, plain: dict[str, Any], others: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return _together(plan, plain, await others)
