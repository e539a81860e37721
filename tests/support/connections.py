"""Pages of connections in GraphQL, one after the other as a client goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.graphql import data
from support.live import LiveServer

PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


async def paged(
    live: LiveServer, headers: Mapping[str, str], path: str, document: str, *, first: int, **variables: Any
) -> list[list[Any]]:
    """The nodes of each page of the connection at a path such as ``run.events``, which the document asks for.

    It has the variables ``$first`` and ``$after``, and asks for nodes, for edges with cursors, and for ``PAGE``.
    """
    pages: list[list[Any]] = []
    after = None
    while True:
        found = await data(live, headers, document, first=first, after=after, **variables)
        for name in path.split("."):
            found = found[name]
        info, cursors = found["pageInfo"], [edge["cursor"] for edge in found["edges"]]
        assert len(found["nodes"]) == len(cursors) <= first
        assert [info["startCursor"], info["endCursor"]] == ([cursors[0], cursors[-1]] if cursors else [None, None])
        assert info["hasPreviousPage"] is (after is not None)
        pages.append(found["nodes"])
        if not info["hasNextPage"]:
            return pages
        after = info["endCursor"]
