"""The executor with its short way answers what the library's answers: data, errors and their order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    execute,
    parse,
    print_schema,
    validate,
)
from graphql.type import get_nullable_type, is_enum_type, is_leaf_type, is_list_type, is_non_null_type
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import FULL_PROOF

from app.execution.executor import Attribute, PlainExecutor
from app.resolvers.schema import schema

NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)


class Awaited:
    """A value that has to be waited for, as that of an attribute may be, too."""

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "text"


# What no leaf of its type can be, and what must be waited for.
ODD: tuple[Any, ...] = (
    *(None, "text", 2**40, 1.5, float("nan"), True, b"bytes", object(), ValueError("odd"), ["x"], Awaited(), Awaited()),
)
BROKEN = object()


class Row:
    """A record whose attributes a test chooses."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name not in self._values:
            raise AttributeError(name)
        if self._values[name] is BROKEN:
            raise RuntimeError("an attribute that cannot be read")
        return self._values[name]


def rebuilt() -> GraphQLSchema:
    """Our own schema whose resolvers answer what stands in a record, some of them only after a while."""
    made = build_schema(print_schema(schema()))
    made.type_map["DateTime"].coerce_output_value = schema().type_map["DateTime"].coerce_output_value  # type: ignore[attr-defined]
    for name, kind in made.type_map.items():
        if not isinstance(kind, GraphQLObjectType) or name.startswith("__"):
            continue
        for field_name, field in kind.fields.items():
            ours = schema().type_map[name].fields[field_name]  # type: ignore[attr-defined]
            field.resolve = Attribute(field_name) if isinstance(ours.resolve, Attribute) else _asked(field_name)
    return made


class Later:
    """What a resolver answers after a while; nobody need wait for it."""

    def __init__(self, of: Any, name: str) -> None:
        self._of = of
        self._name = name

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return getattr(self._of, self._name)


def _asked(name: str) -> Any:
    def resolve(of: Any, info: Any, **arguments: Any) -> Any:
        return Later(of, name)

    return resolve


SCHEMA = rebuilt()
OBJECTS = [
    name
    for name, kind in SCHEMA.type_map.items()
    if isinstance(kind, GraphQLObjectType) and not name.startswith("__") and name not in {"Mutation", "Subscription"}
]


def leaf(kind: Any) -> st.SearchStrategy[Any]:
    if is_enum_type(kind):
        sound: st.SearchStrategy[Any] = st.sampled_from([value.value for value in kind.values.values()])
    else:
        sound = {
            "String": st.text(max_size=3) | st.integers(0, 9),
            "Int": st.integers(-(2**31), 2**31 - 1),
            "Float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
            "DateTime": st.just(NOW),
            "Boolean": st.booleans(),
        }[kind.name]
    # Mostly sound, so that the short way is taken.
    return st.integers(0, 30).flatmap(lambda at: st.sampled_from((*ODD, BROKEN)) if at == 0 else sound)


def value_of(kind: Any, depth: int) -> st.SearchStrategy[Any]:
    inner = get_nullable_type(kind)
    if is_list_type(inner):
        values: st.SearchStrategy[Any] = st.lists(value_of(inner.of_type, depth), max_size=3)
    elif is_leaf_type(inner):
        values = leaf(inner)
    elif depth == 0:
        values = st.none()
    else:
        values = row_of(inner, depth - 1)
    return values if is_non_null_type(kind) else values | st.none()


def row_of(kind: GraphQLObjectType, depth: int) -> st.SearchStrategy[Any]:
    fields = {name: value_of(field.type, depth) for name, field in kind.fields.items()}
    # Now and then one is not there at all, or what stands in its place is no record.
    whole = st.fixed_dictionaries(fields)
    lacking = st.tuples(whole, st.sampled_from(sorted(fields))).map(
        lambda pair: {name: value for name, value in pair[0].items() if name != pair[1]}
    )
    return st.integers(0, 20).flatmap(
        lambda at: lacking.map(Row) if at == 0 else st.sampled_from(ODD) if at == 1 else whole.map(Row)
    )


def selection_of(kind: GraphQLObjectType, depth: int) -> st.SearchStrategy[str]:
    """Some fields, some of them under other names, in fragments, or left out by a variable."""

    def one(name: str, field: GraphQLField) -> st.SearchStrategy[str]:
        inner = get_nullable_type(field.type)
        inner = get_nullable_type(inner.of_type) if is_list_type(inner) else inner
        needs = "".join(f'{arg}: "x"' for arg, of in field.args.items() if is_non_null_type(of.type) and not of.default)
        called = name + (f"({needs})" if needs else "")
        below = st.just("") if is_leaf_type(inner) else selection_of(inner, depth - 1).map(lambda of: f" {of}")
        before = st.sampled_from(["", "", f"other_{name}: "])
        after = st.sampled_from(["", "", "", " @include(if: $yes)", " @skip(if: $yes)"])
        return st.tuples(before, after, below).map(lambda parts: f"{parts[0]}{called}{parts[1]}{parts[2]}")

    choices = [
        one(name, field)
        for name, field in kind.fields.items()
        if depth > 0 or is_leaf_type(get_nullable_type(field.type))
    ]
    choices.append(st.just("__typename"))
    body = st.lists(st.one_of(choices), min_size=1, max_size=6).map(" ".join)
    fragment = body.map(lambda fields: f"... on {kind.name} {{ {fields} }}")
    return st.lists(body | body | fragment, min_size=1, max_size=2).map(lambda parts: "{ " + " ".join(parts) + " }")


ROOT = SCHEMA.type_map["Query"]


async def result_of(document: Any, root: Any, executor: type[Any] | None) -> ExecutionResult:
    found = execute(SCHEMA, document, root_value=root, variable_values={"yes": True}, executor_class=executor)
    return await found if inspect.isawaitable(found) else found


def shown(errors: list[GraphQLError] | None) -> list[Any]:
    return [(error.message, error.path, error.locations, type(error.original_error)) for error in errors or ()]


@given(selection=selection_of(ROOT, 3), root=row_of(ROOT, 3).filter(lambda row: isinstance(row, Row)))  # type: ignore[arg-type]
@settings(max_examples=500 if FULL_PROOF else 60, deadline=None)
async def test_answers_are_those_of_the_library(selection: str, root: Any) -> None:
    document = parse(f"query($yes: Boolean!) {selection}")
    if validate(SCHEMA, document):
        # An unused variable, or one name for two things.
        document = parse(f"query($yes: Boolean! = true) {selection}")

    ours, theirs = [await result_of(document, root, executor) for executor in (PlainExecutor, None)]

    assert ours.data == theirs.data
    assert str(ours.data) == str(theirs.data)
    assert sorted(shown(ours.errors), key=str) == sorted(shown(theirs.errors), key=str)


class Task(NamedTuple):
    """A record like those of the portal."""

    id: int
    title: str
    createdAt: datetime  # noqa: N815 - the schema's name


async def test_plain_rows_are_read_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above would compare the library with itself."""
    calls: list[str] = []
    original = PlainExecutor.execute_field

    def counted(self: Any, parent: Any, source: Any, details: Any, path: Any, position: Any) -> Any:
        calls.append(path.key)
        return original(self, parent, source, details, path, position)

    monkeypatch.setattr(PlainExecutor, "execute_field", counted)
    root = Row({"tasks": [Task(number, f"Task {number}", NOW) for number in range(50)]})

    found = await result_of(parse("{ tasks { id title createdAt __typename } }"), root, PlainExecutor)

    assert found.errors is None
    assert found.data is not None
    assert found.data["tasks"][49] == {"id": "49", "title": "Task 49", "createdAt": NOW, "__typename": "Task"}
    assert calls == ["tasks"]
