"""The routes of GraphQL, all at one address; what answers there is loaded when it is first needed.

Its libraries take half a second to load, which no start of a worker and no other request shall wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sanic import Request, Sanic

from app.settings import Settings
from blueprints.graphql_api.explorer import explorer, is_for_a_person
from blueprints.web.endpoints import Answered, observed
from blueprints.web.routes import add_route

if TYPE_CHECKING:
    from blueprints.graphql_api.http import GraphQLOverHttp

PATH = "/graphql"


class Loaded:
    """What answers in GraphQL, loaded once beside the loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http: GraphQLOverHttp | None = None
        self._lock = asyncio.Lock()

    async def http(self) -> GraphQLOverHttp:
        """What answers over HTTP."""
        if self._http is None:
            async with self._lock:
                if self._http is None:
                    self._http = await asyncio.to_thread(self._load)
        return self._http

    def _load(self) -> GraphQLOverHttp:
        from app.execution.running import Engine
        from app.resolvers.schema import schema
        from blueprints.graphql_api.http import GraphQLOverHttp

        return GraphQLOverHttp(Engine(schema(), self._settings))


def add_graphql(app: Sanic[Any, Any], settings: Settings) -> None:
    """Serve GraphQL."""
    app.ctx.graphql = Loaded(settings)
    add_route(app, observed("POST", PATH, _post), PATH, ["POST"], "graphql_post")
    get: Any = observed("GET", PATH, _get)
    # A WebSocket begins with a GET too: for the framework one route is both, and only then may answer nothing.
    get.is_websocket = True
    add_route(app, get, PATH, ["GET"], "graphql_get")
    app.enable_websocket()


async def _post(request: Request, request_id: str, path: Mapping[str, Any]) -> Answered:
    http: GraphQLOverHttp = await request.app.ctx.graphql.http()
    return await http.post(request, request_id)


async def _get(request: Request, request_id: str, path: Mapping[str, Any]) -> Answered:
    is_socket = is_upgrade(request)
    if not is_socket and is_for_a_person(request):
        return await explorer(request, request_id)
    http: GraphQLOverHttp = await request.app.ctx.graphql.http()
    if is_socket:
        return await http.connect(request, request_id)
    return await http.get(request, request_id)


def is_upgrade(request: Request) -> bool:
    """Whether a GET asks for a WebSocket."""
    return (request.headers.get("upgrade") or "").lower() == "websocket"
