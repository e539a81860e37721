"""Documents that are generated from the schema: for each field of a root, with all that can be asked for beneath it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    print_ast,
)
from graphql.type import (
    get_nullable_type,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)
from graphql.utilities import value_to_literal

ROOTS: Final = ("Query", "Mutation", "Subscription")
# Objects within objects, so that documents stay within the limits of size, depth and cost.
MAX_OBJECTS: Final = 3
# Types that only lead to objects.
LEADING: Final = ("Connection", "Edge", "Payload")
PAGE: Final = 2
# What a change changes.
CHANGED: Final = frozenset({"status", "description"})
PAGES: Final = frozenset({"limit", "first", "last"})


class Absent:
    """An argument that is not given."""


ABSENT: Final = Absent()


class Root(NamedTuple):
    """A field of Query, Mutation or Subscription."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


def roots(schema: GraphQLSchema, *kinds: str) -> list[Root]:
    """All fields of these roots, or of all of them."""
    return [
        Root(kind, name)
        for kind in kinds or ROOTS
        if isinstance(bound := schema.type_map.get(kind), GraphQLObjectType)
        for name in bound.fields
    ]


@dataclass
class Documents:
    """Documents that name things by these ids: one for each noun, such as ``project``.

    Objects refer to each other in circles, so a field beneath the first object of a root is asked for by the first
    document that gets there and by no other. ``asked`` is every field that any of them asks for, and ``named`` the
    roots whose arguments name something.
    """

    schema: GraphQLSchema
    ids: Mapping[str, str]
    asked: set[tuple[str, str]] = field(default_factory=set)
    named: set[Root] = field(default_factory=set)
    _texts: dict[Root, str] = field(default_factory=dict)
    _root: Root = field(init=False)
    # Whether arguments are those of a field that changes something.
    _is_change: bool = False

    def __post_init__(self) -> None:
        for root in roots(self.schema):
            bound = self.schema.type_map[root.kind]
            assert isinstance(bound, GraphQLObjectType)
            self._root = root
            asked = self._field(bound, root.name, bound.fields[root.name], ())
            self._texts[root] = f"{root.kind.lower()} {{ {asked} }}"

    def of(self, root: Root) -> str:
        """The document for one field of a root."""
        return self._texts[root]

    def _field(
        self,
        parent: GraphQLObjectType,
        name: str,
        of: GraphQLField,
        above: tuple[str, ...],
        alias: str = "",
        *,
        is_last: bool = False,
    ) -> str:
        self.asked.add((parent.name, name))
        kind = get_named_type(of.type)
        self._is_change = parent.name == "Mutation"
        given = ", ".join(self._arguments(of, kind.name))
        inner = (*above, parent.name)
        selection = "" if is_leaf_type(kind) else f" {{ {' '.join(self._selection(kind, inner, is_last=is_last))} }}"
        return f"{alias}{name}{f'({given})' if given else ''}{selection}"

    def _selection(self, kind: GraphQLNamedType, above: tuple[str, ...], *, is_last: bool) -> Iterator[str]:
        yield "__typename"
        if is_abstract_type(kind):
            for one in self.schema.get_possible_types(kind):
                # Fields of the same name may be of several types there.
                parts = self._fields(one, above, f"{one.name}_", is_last=is_last)
                yield f"... on {one.name} {{ __typename {' '.join(parts)} }}"
        elif isinstance(kind, GraphQLObjectType):
            yield from self._fields(kind, above, is_last=is_last)

    def _fields(
        self, kind: GraphQLObjectType, above: tuple[str, ...], prefix: str = "", *, is_last: bool
    ) -> Iterator[str]:
        objects = sum(not name.endswith(LEADING) for name in above[1:])
        is_leading = kind.name.endswith(LEADING)
        for name, one in kind.fields.items():
            inner = get_named_type(one.type)
            is_known = (kind.name, name) in self.asked
            # The last objects are asked only for what has nothing beneath it.
            if not is_leaf_type(inner) and not is_leading and (is_last or (is_known and objects)):
                continue
            # An edge has the same object as its page.
            ends = is_last or inner.name in above or objects >= MAX_OBJECTS or kind.name.endswith("Edge")
            yield self._field(kind, name, one, above, f"{prefix}{name}: " if prefix else "", is_last=ends)

    def _arguments(self, of: GraphQLField, answered: str) -> Iterator[str]:
        for name, argument in of.args.items():
            value = self._value(name, argument, answered)
            if value is not ABSENT:
                literal = value_to_literal(value, argument.type)
                assert literal is not None
                yield f"{name}: {print_ast(literal)}"

    def _value(self, name: str, of: GraphQLArgument | GraphQLInputField, answered: str) -> Any:
        """What an argument is given: an id wherever there may be one, else only what must be there."""
        kind = get_nullable_type(of.type)
        is_required = is_required_argument(of) if isinstance(of, GraphQLArgument) else is_required_input_field(of)
        # A change that changes nothing would prove nothing.
        is_wanted = is_required or (self._is_change and name in CHANGED)
        if is_list_type(kind):
            inner = self._value(name, GraphQLArgument(kind.of_type), answered) if is_wanted else ABSENT
            return ABSENT if inner is ABSENT else [inner]
        if is_input_object_type(kind):
            members = {key: self._value(key, one, answered) for key, one in kind.fields.items()}
            given = {key: value for key, value in members.items() if value is not ABSENT}
            return given if given or is_wanted else ABSENT
        if (found := self._id(name, answered)) is not None and kind.name in {"String", "ID"}:
            self.named.add(self._root)
            return found
        if name in PAGES:
            return PAGE
        return _plain(kind) if is_wanted else ABSENT

    def _id(self, name: str, answered: str) -> str | None:
        noun = name.lower().removesuffix("id") or answered.lower().removesuffix("payload").removesuffix("connection")
        return self.ids.get(noun)


def _plain(kind: Any) -> Any:
    if is_enum_type(kind):
        return "FAILED" if "FAILED" in kind.values else next(iter(kind.values))
    return {
        "ID": "1",
        "Int": 1,
        "Long": 1,
        "Float": 1.0,
        "Boolean": True,
        "Date": "2026-11-27",
        "DateTime": "2026-11-27T09:30:00Z",
    }.get(kind.name, "{}" if kind.name == "JSON" else "Theirs")


def fields_of(schema: GraphQLSchema) -> set[tuple[str, str]]:
    """Every field of every type of objects."""
    return {
        (name, one)
        for name, kind in schema.type_map.items()
        if is_object_type(kind) and not name.startswith("__")
        for one in kind.fields
    }
