"""The executor: fields that only read an attribute are read in one pass, everything else goes the library's way.

For each field the library builds a path and a description of the call, which takes ten times as long as reading an
attribute. An object that does not fit, for whatever reason, is left to the library as a whole, and with it the errors:
so answers are the same, as a test over generated documents shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.executor_throwing_on_incremental import ExecutorThrowingOnIncremental
from graphql.pyutils import is_awaitable
from graphql.type import get_nullable_type, is_object_type

from app.execution.plain import PlainField, Plan, plain_field


class Awaitables:
    """Which values of an execution have to be waited for.

    An execution that is canceled may leave some for which nobody has begun to wait, and Python warns of each of these.
    """

    def __init__(self) -> None:
        self._coroutines: list[CoroutineType[Any, Any, Any]] = []

    def __call__(self, value: Any) -> bool:
        """Whether a value has to be waited for."""
        if isinstance(value, CoroutineType):
            self._coroutines.append(value)
            return True
        return is_awaitable(value)

    def close(self) -> None:
        """Close those for which nobody waits."""
        for coroutine in self._coroutines:
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()


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
                    return plan.rows(items)
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
            name = details[0].node.name.value
            field = None if self.middleware_manager else plain_field(parent_type, name)
            if field is None:
                others[response_name] = details
            else:
                plain.append(field._replace(response_name=response_name) if name != response_name else field)
        # The name of the type alone is no reason: it stands beside fields that are none of a record's.
        is_record = any(field.attribute is not None for field in plain)
        return Plan(fields, tuple(plain), others) if is_record else Plan(fields, (), fields)


def _together(plan: Plan, plain: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """All fields in the order in which they were asked for."""
    return {
        name: plain[name] if name in plain else others[name] for name in plan.whole if name in plain or name in others
    }


async def _awaited(plan: Plan, plain: dict[str, Any], others: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return _together(plan, plain, await others)
