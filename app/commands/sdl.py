"""``portal sdl``: the schema of GraphQL as text."""

from __future__ import annotations

from rich.text import Text

from app.commands.output import answer
from app.commands.parameters import AsJson


def sdl(*, as_json: AsJson = False) -> None:
    """Print the schema of GraphQL in its definition language."""
    from graphql import print_schema

    from app.resolvers.schema import schema

    text = print_schema(schema())
    answer(as_json, {"sdl": text}, Text(text))
