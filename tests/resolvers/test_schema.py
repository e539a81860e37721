"""The schema: every field is bound and described, lists have sizes, and nothing that was promised goes away."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    print_schema,
    value_from_ast_untyped,
)
from graphql.type import get_nullable_type, is_list_type, is_object_type
from graphql.utilities import BreakingChangeType, find_breaking_changes

from app.__main__ import main
from app.execution.executor import Attribute
from app.resolvers import bindables
from app.resolvers.access import Guarded, rules
from app.resolvers.bindables import BINDABLES, RECORDS
from app.resolvers.schema import schema, schema_folder

HOUSE = Path(__file__).parents[2]
# What clients rely on; ``portal sdl`` writes it.
PROMISED = HOUSE / "tests" / "contract" / "schema.graphql"
ROOTS = {"Query", "Mutation", "Subscription"}


def own_types() -> dict[str, object]:
    standard = {"Boolean", "Float", "ID", "Int", "String"}
    return {
        name: kind for name, kind in schema().type_map.items() if not name.startswith("__") and name not in standard
    }


def test_everything_is_described() -> None:
    silent = []
    for name, kind in own_types().items():
        parts = [(name, kind)]
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType | GraphQLInterfaceType):
            parts += [(f"{name}.{field}", what) for field, what in kind.fields.items()]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            parts += [
                (f"{name}.{field}({argument}:)", of)
                for field, what in kind.fields.items()
                for argument, of in what.args.items()
            ]
        if isinstance(kind, GraphQLEnumType):
            parts += [(f"{name}.{value}", what) for value, what in kind.values.items()]
        # The roots are described by their fields.
        silent += [place for place, what in parts if place not in ROOTS and not getattr(what, "description", None)]

    assert silent == []
    assert len(own_types()) > 12


def test_every_field_is_bound() -> None:
    """By a resolver of its own, or by an attribute that the record of its type has."""
    unbound = []
    for name, kind in own_types().items():
        if not isinstance(kind, GraphQLObjectType):
            continue
        for field_name, field in kind.fields.items():
            resolve = field.resolve.resolve if isinstance(field.resolve, Guarded) else field.resolve
            if isinstance(resolve, Attribute):
                record = RECORDS[name]
                known = hasattr(record, resolve.name) or resolve.name in getattr(record, "__dataclass_fields__", ())
                unbound += [] if known else [f"{name}.{field_name}"]
            elif getattr(resolve, "__module__", "").partition(".")[0] != "app":
                unbound.append(f"{name}.{field_name}")

    assert unbound == []


def test_all_bindables_stand_in_the_list() -> None:
    bound = {
        value
        for module in vars(bindables).values()
        if getattr(module, "__name__", "").startswith("app.resolvers.")
        for value in vars(module).values()
        if hasattr(value, "bind_to_schema") and not isinstance(value, type)
    }

    assert bound == set(BINDABLES)


def fields_of_objects() -> list[tuple[str, str, GraphQLField]]:
    return [
        (name, field_name, field)
        for name, kind in own_types().items()
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
        for field_name, field in kind.fields.items()
    ]


def said(field: GraphQLField, directive: str) -> dict[str, Any]:
    """The arguments of a directive, texts and lists of texts; nothing where it does not stand there."""
    stated = (field.ast_node.directives or ()) if field.ast_node else ()
    nodes = [node for node in stated if node.name.value == directive]
    return {one.name.value: value_from_ast_untyped(one.value) for node in nodes for one in node.arguments or ()}


def test_every_list_of_objects_has_a_size() -> None:
    """Its own, or that of a page: then every field that answers the connection says it."""
    sizeless = {
        (name, field_name)
        for name, field_name, field in fields_of_objects()
        if is_list_type(kept := get_nullable_type(field.type))
        and is_object_type(get_nullable_type(kept.of_type))
        and not said(field, "listSize")
    }
    paged = {
        (kind, list_name)
        for _, _, field in fields_of_objects()
        if (kind := get_named_type(field.type).name).endswith("Connection")
        for list_name in said(field, "listSize").get("sizedFields", ())
    }
    unsized = [
        f"{name}.{field_name}"
        for name, field_name, field in fields_of_objects()
        if get_named_type(field.type).name.endswith("Connection")
        and said(field, "listSize") != {"slicingArguments": ["first"], "sizedFields": ["edges", "nodes"]}
    ]

    assert sizeless - paged == set()
    assert unsized == []


def test_every_field_of_a_root_says_who_may_ask_for_it() -> None:
    stated = rules(schema())
    fields = {f"{name}.{field_name}" for name, field_name, _ in fields_of_objects() if name in ROOTS}

    assert fields - stated.keys() == set()
    assert [place for place, caller in stated.items() if not (caller.tenant or caller.permission)] == []


def test_what_a_rule_says_is_enforced() -> None:
    for place in rules(schema()):
        name, _, field_name = place.partition(".")
        field = schema().type_map[name].fields[field_name]
        assert isinstance(field.subscribe if name == "Subscription" else field.resolve, Guarded)


def test_a_resolver_is_ten_lines_at_most() -> None:
    long = {}
    for path in sorted((HOUSE / "app" / "resolvers").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("resolve_"):
                body = node.body[-1].end_lineno - node.body[0].lineno + 1
                if body > 10:
                    long[node.name] = body

    assert long == {}


def test_nothing_that_clients_rely_on_goes_away() -> None:
    assert find_breaking_changes(build_schema(PROMISED.read_text()), schema()) == []


def test_a_field_that_goes_away_is_found() -> None:
    gone = build_schema(print_schema(schema()))
    project = gone.type_map["Project"]
    assert isinstance(project, GraphQLObjectType)
    del project.fields["totalTasks"]

    assert {change.type for change in find_breaking_changes(schema(), gone)} == {BreakingChangeType.FIELD_REMOVED}


def test_what_clients_rely_on_is_written_down() -> None:
    """Where this fails: portal sdl > tests/contract/schema.graphql, and a line in the change log."""
    assert PROMISED.read_text().strip() == print_schema(schema()).strip()


def test_the_folder_of_texts_is_no_package() -> None:
    assert {path.suffix for path in schema_folder().iterdir()} == {".graphql"}


@pytest.mark.parametrize("as_json", [False, True])
def test_portal_sdl_prints_the_schema(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["portal", "sdl", *(["--json"] if as_json else [])])

    assert main() == 0
    told = capsys.readouterr().out
    assert (json.loads(told)["sdl"] if as_json else told).strip() == print_schema(schema()).strip()
