"""The schema: the texts in graphql/ with everything that is bound to them, and who may ask for what."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from ariadne import convert_camel_case_to_snake, is_default_resolver, load_schema_from_path, make_executable_schema
from graphql import GraphQLObjectType, GraphQLSchema

from app.execution.executor import Attribute
from app.resolvers.access import guard
from app.resolvers.bindables import BINDABLES, RECORDS


def schema_folder() -> Path:
    """Where the texts are: beside the package in a source tree, inside it in a wheel."""
    shipped = Path(str(files("app"))) / "graphql"
    return shipped if shipped.is_dir() else shipped.parent.parent / "graphql"


@cache
def schema() -> GraphQLSchema:
    """The schema of this process; it is made once."""
    made = make_executable_schema(load_schema_from_path(str(schema_folder())), *BINDABLES, convert_names_case=True)
    for name in RECORDS:
        bound = made.type_map[name]
        if not isinstance(bound, GraphQLObjectType):
            raise TypeError(f"{name} has a record and is no type of objects")
        for field_name, field in bound.fields.items():
            if field.resolve is None or is_default_resolver(field.resolve):
                field.resolve = Attribute(convert_camel_case_to_snake(field_name))
    guard(made)
    return made
