"""Documents that were read: parsed, validated and measured once, and kept by their text within bounds."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    MaxIntrospectionDepthRule,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)

from app.errors import DocumentError, DocumentTooLargeError
from app.execution.costs import Costs, Node, cost_of
from app.settings import Settings

# How many documents are kept, and how long their texts are together: a read document takes 250 times its text.
KEPT: Final = 500
KEPT_CHARACTERS: Final = 200_000
MAX_ERRORS: Final = 20
# Whether fields of the same name agree is asked of each pair, so that hundreds of them would take half a second.
MAX_REPEATED: Final = 5
MAX_FRAGMENTS: Final = 30
# No database keeps it, and no sound text has it.
_NUL = re.compile(r"\x00|\\u0000|\\u\{0+\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a document, with what it costs."""

    node: OperationDefinitionNode
    kind: OperationType
    costs: tuple[Node, ...]

    def cost(self, variables: Mapping[str, Any]) -> int:
        """How many objects it may answer with these variables."""
        return cost_of(self.costs, variables)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that was read; where ``errors`` says why it cannot be run, it has no operations."""

    document: DocumentNode | None
    operations: Mapping[str, Operation]
    errors: Sequence[GraphQLError] = ()

    @property
    def runnable(self) -> DocumentNode:
        """The document; raises what is wrong with it, where something is."""
        if self.document is None:
            raise self.errors[0]
        return self.document

    def operation(self, name: str | None) -> Operation:
        """The operation of this name, or the only one; raises DocumentError."""
        if name is None:
            if len(self.operations) != 1:
                raise DocumentError(reason="it has several operations, and operationName says none of them")
            return next(iter(self.operations.values()))
        if (found := self.operations.get(name)) is None:
            raise DocumentError(reason=f"it has no operation {name!r}")
        return found


class Documents:
    """The documents of one process."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self._kept: OrderedDict[tuple[str, bool], Prepared] = OrderedDict()
        self._characters = 0

    def read(self, text: str, *, may_introspect: bool) -> Prepared:
        """The document with this text; ``may_introspect`` allows questions about the schema itself."""
        key = (text, may_introspect)
        if (prepared := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return prepared
        prepared = self._kept[key] = self._read(text, may_introspect=may_introspect)
        self._characters += len(text)
        while len(self._kept) > KEPT or self._characters > KEPT_CHARACTERS:
            (oldest, _), _ = self._kept.popitem(last=False)
            self._characters -= len(oldest)
        return prepared

    def _read(self, text: str, *, may_introspect: bool) -> Prepared:
        try:
            document = self._parsed(text)
            self._check_size(document)
        except GraphQLSyntaxError as failure:
            return Prepared(None, {}, [failure])
        except (DocumentError, DocumentTooLargeError) as failure:
            return Prepared(None, {}, [GraphQLError(failure.detail, original_error=failure)])
        rules = [*specified_rules, MaxIntrospectionDepthRule]
        if not may_introspect:
            rules.append(NoSchemaIntrospectionCustomRule)
        if errors := validate(
            self._schema, document, rules, max_errors=MAX_ERRORS, hide_suggestions=not may_introspect
        ):
            return Prepared(None, {}, errors)
        return self._measured(document)

    def _parsed(self, text: str) -> DocumentNode:
        limit = self._settings.graphql_max_tokens
        if _NUL.search(text):
            raise DocumentError(reason="a text holds the character NUL")
        try:
            return parse(text, max_tokens=limit)
        except GraphQLSyntaxError as failure:
            if "Parsing aborted" in failure.message:
                raise DocumentTooLargeError(limit=limit, what="tokens") from None
            raise

    def _check_size(self, document: DocumentNode) -> None:
        counting = _Counting()
        visit(document, counting)
        limits = (
            (counting.aliases, self._settings.graphql_max_aliases, "aliases"),
            (counting.fragments, MAX_FRAGMENTS, "fragments"),
            (counting.repeated, MAX_REPEATED, "fields of the same name in one selection"),
        )
        for found, limit, what in limits:
            if found > limit:
                raise DocumentTooLargeError(limit=limit, what=what)

    def _measured(self, document: DocumentNode) -> Prepared:
        costs, depths = Costs(self._schema, document), _Depths(document)
        operations: dict[str, Operation] = {}
        limit = self._settings.graphql_max_depth
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                if depths.of(node.selection_set) > limit:
                    failure = DocumentTooLargeError(limit=limit, what="levels of fields within fields")
                    return Prepared(None, {}, [GraphQLError(failure.detail, [node], original_error=failure)])
                name = node.name.value if node.name else ""
                operations[name] = Operation(node, node.operation, costs.of(node))
        return Prepared(document, operations)


class _Counting(Visitor):
    """Counts what would be costly to validate."""

    def __init__(self) -> None:
        super().__init__()
        self.aliases = 0
        self.fragments = 0
        self.repeated = 0

    def enter_field(self, node: FieldNode, *rest: Any) -> None:
        """Count aliases, and what is asked for of the field."""
        self.aliases += node.alias is not None
        self._count_repeated(node.selection_set)

    def enter_operation_definition(self, node: OperationDefinitionNode, *rest: Any) -> None:
        """Count what is asked for first."""
        self._count_repeated(node.selection_set)

    def enter_fragment_definition(self, node: FragmentDefinitionNode, *rest: Any) -> None:
        """Count fragments, and what each asks for."""
        self.fragments += 1
        self._count_repeated(node.selection_set)

    def _count_repeated(self, selections: SelectionSetNode | None) -> None:
        if selections is not None:
            self.repeated = max([self.repeated, *Counter(_response_names(selections)).values()])


def _response_names(selections: SelectionSetNode) -> Iterator[str]:
    """The names under which the fields of a selection are answered, those in fragments that stand in it included."""
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            yield (selection.alias or selection.name).value
        elif isinstance(selection, InlineFragmentNode):
            yield from _response_names(selection.selection_set)


class _Depths:
    """How deep fields are within fields; questions about the schema itself have a limit of their own."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._of_fragment: dict[str, int] = {}

    def of(self, selections: SelectionSetNode | None) -> int:
        """The longest way down; a leaf is one level."""
        if selections is None:
            return 0
        return max(map(self._selection, selections.selections))

    def _selection(self, selection: Any) -> int:
        if isinstance(selection, FieldNode):
            if selection.name.value in {"__schema", "__type"}:
                return 1
            return 1 + self.of(selection.selection_set)
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in self._of_fragment:
                self._of_fragment[name] = self.of(self._fragments[name].selection_set)
            return self._of_fragment[name]
        return self.of(selection.selection_set)
