"""What a document costs: how many objects it may answer, by the sizes of lists that schema and caller give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)
from graphql.type import is_list_type, is_object_type
from graphql.type.definition import get_nullable_type

# How many objects a list answers at most, whatever a caller asks for.
MAX_LIMIT: Final = 200
# What a question about the schema itself costs.
INTROSPECTION: Final = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How many objects a list has: a number, or what a variable says, or else its default."""

    number: int
    variable: str | None = None

    def value(self, variables: Mapping[str, Any], of_page: int) -> int:
        """The size within its bounds; what is no number is refused later, and costs as much as can be until then."""
        if self is OF_PAGE:
            return of_page
        value = self.number if self.variable is None else variables.get(self.variable, self.number)
        return max(0, min(value, MAX_LIMIT)) if isinstance(value, int) else MAX_LIMIT


# The size of a list that is part of a connection: the field that answers the connection says it.
OF_PAGE: Final = Size(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A field that answers objects, with what is asked for of each of them; fragments share their nodes.

    ``page`` is how many objects the lists have that are parts of what it answers, where that is a connection.
    """

    weight: int
    size: Size
    children: tuple[Node, ...]
    page: Size | None = None


def cost_of(nodes: tuple[Node, ...], variables: Mapping[str, Any]) -> int:
    """How many objects these fields may answer with these variables, with their weights.

    Each node is looked at once for each size of a page that it is part of: fragments within fragments may stand for
    more fields than could ever be counted.
    """
    known: dict[tuple[Node, int], int] = {}

    def cost(node: Node, of_page: int = MAX_LIMIT) -> int:
        if (found := known.get((node, of_page))) is None:
            page = MAX_LIMIT if node.page is None else node.page.value(variables, MAX_LIMIT)
            each = 1 + sum(cost(child, page) for child in node.children)
            found = known[node, of_page] = node.weight + node.size.value(variables, of_page) * each
        return found

    return sum(map(cost, nodes))


class Costs:
    """The costs of one document's operations; raises nothing for a document that is valid."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._of_fragment: dict[str, tuple[Node, ...]] = {}
        self._spread_of: dict[str, dict[str, None]] = {}
        self._defaults: dict[str, int] = {}

    def of(self, operation: OperationDefinitionNode) -> tuple[Node, ...]:
        """The fields of an operation that answer objects."""
        self._of_fragment.clear()
        self._defaults = {
            one.variable.name.value: int(one.default_value.value)
            for one in operation.variable_definitions or ()
            if isinstance(one.default_value, IntValueNode)
        }
        root = self._schema.get_root_type(operation.operation)
        return () if root is None else self._nodes(root, operation.selection_set)

    def _nodes(self, parent: GraphQLNamedType, selections: SelectionSetNode) -> tuple[Node, ...]:
        """The fields of a selection and those of all fragments in it, each fragment once."""
        spread: dict[str, None] = {}
        nodes = self._direct(parent, selections, spread)
        waiting = list(spread)
        while waiting:
            fragment = self._fragments[waiting.pop()]
            inner: dict[str, None] = {}
            nodes += self._fields_of(fragment, inner)
            waiting += [name for name in inner if name not in spread]
            spread |= inner
        return nodes

    def _direct(
        self, parent: GraphQLNamedType, selections: SelectionSetNode, spread: dict[str, None]
    ) -> tuple[Node, ...]:
        """The fields that stand in a selection itself; the names of fragments in it are added to ``spread``."""
        nodes: list[Node] = []
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                if (node := self._node(parent, selection)) is not None:
                    nodes.append(node)
            elif isinstance(selection, FragmentSpreadNode):
                spread[selection.name.value] = None
            elif isinstance(selection, InlineFragmentNode):
                nodes += self._direct(parent, selection.selection_set, spread)
        return tuple(nodes)

    def _fields_of(self, fragment: FragmentDefinitionNode, spread: dict[str, None]) -> tuple[Node, ...]:
        name = fragment.name.value
        if name not in self._of_fragment:
            inner: dict[str, None] = {}
            kind = self._schema.type_map[fragment.type_condition.name.value]
            self._of_fragment[name] = self._direct(kind, fragment.selection_set, inner)
            self._spread_of[name] = inner
        spread |= self._spread_of[name]
        return self._of_fragment[name]

    def _node(self, parent: GraphQLNamedType, selection: FieldNode) -> Node | None:
        name = selection.name.value
        if name in {"__schema", "__type"}:
            return Node(INTROSPECTION, Size(0), ())
        field = parent.fields.get(name) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None
        if field is None or not is_object_type(kind := get_named_type(field.type)):
            return None
        children = () if selection.selection_set is None else self._nodes(kind, selection.selection_set)
        directive = _directive(field, "listSize")
        page = self._sliced(field, selection, directive) if "sizedFields" in directive else None
        return Node(_weight(field), self._size(field, selection, directive), children, page)

    def _size(self, field: GraphQLField, selection: FieldNode, directive: dict[str, Any]) -> Size:
        if not is_list_type(get_nullable_type(field.type)):
            return Size(1)
        if "assumedSize" in directive:
            return Size(int(directive["assumedSize"].value))
        return self._sliced(field, selection, directive) if directive else OF_PAGE

    def _sliced(self, field: GraphQLField, selection: FieldNode, directive: dict[str, Any]) -> Size:
        (name,) = (value.value for value in directive["slicingArguments"].values)
        default = _default(field, name)
        given = next((one.value for one in selection.arguments or () if one.name.value == name), None)
        if isinstance(given, VariableNode):
            variable = given.name.value
            return Size(self._defaults.get(variable, default), variable)
        return Size(int(given.value)) if isinstance(given, IntValueNode) else Size(default)


def _weight(field: GraphQLField) -> int:
    directive = _directive(field, "cost")
    return int(directive["weight"].value) if directive else 0


def _default(field: GraphQLField, argument: str) -> int:
    """The default of an argument that is a whole number, as the schema's text says."""
    node = field.args[argument].ast_node
    if node is None or not isinstance(node.default_value, IntValueNode):
        raise TypeError(f"the argument {argument}, by which a list is bounded, needs a default")
    return int(node.default_value.value)


def _directive(field: GraphQLField, name: str) -> dict[str, Any]:
    """The arguments of a directive in the schema's text; nothing where it does not stand there."""
    nodes = field.ast_node.directives or () if field.ast_node is not None else ()
    found = next((node for node in nodes if node.name.value == name), None)
    return {one.name.value: one.value for one in (found.arguments or ())} if found is not None else {}
