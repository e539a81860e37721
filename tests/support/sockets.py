"""Clients of GraphQL over WebSockets: one that says what a test wants said, and the one that programs use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from gql import Client
from gql.transport.websockets import WebsocketsTransport
from support.live import LiveServer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.services.connections import Connections
from app.services.runs.watches import Watches

PROTOCOL = Subprotocol("graphql-transport-ws")
SECONDS = 10


def address(live: LiveServer) -> str:
    """Where its WebSockets are."""
    return live.base_url.replace("http", "ws", 1) + "/graphql"


def bearer(session: Mapping[str, str]) -> dict[str, str]:
    """The payload of the first message, as the tenants' front end sends it."""
    return {"Authorization": f"Bearer {session['x-session-token']}"}


def client(live: LiveServer, payload: dict[str, str], **options: Any) -> Client:
    """The client of programs."""
    transport = WebsocketsTransport(address(live), subprotocols=[PROTOCOL], init_payload=payload, **options)
    return Client(transport=transport, execute_timeout=SECONDS)


class Talk:
    """A connection over which a test speaks for itself."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, kind: str, **members: Any) -> None:
        """Send a message."""
        await self.connection.send(orjson.dumps({"type": kind, **members}).decode())

    async def heard(self) -> Any:
        """The next message."""
        async with asyncio.timeout(SECONDS):
            return orjson.loads(await self.connection.recv())

    async def begin(self, payload: Mapping[str, Any] | None = None) -> None:
        """Say who it is, and be acknowledged."""
        await self.say("connection_init", **({} if payload is None else {"payload": payload}))
        assert await self.heard() == {"type": "connection_ack"}

    async def subscribe(self, query: str, message_id: str = "1", **variables: Any) -> None:
        """Begin an operation."""
        await self.say("subscribe", id=message_id, payload={"query": query, "variables": variables})

    async def code(self) -> int | None:
        """The code with which the server closes; whatever it says before is passed over."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(SECONDS):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


@contextlib.asynccontextmanager
async def talk(live: LiveServer, **headers: str) -> AsyncIterator[Talk]:
    """A connection without a first message."""
    async with connect(address(live), subprotocols=[PROTOCOL], additional_headers=headers, proxy=None) as connection:
        yield Talk(connection)


def held(live: LiveServer) -> tuple[int, int]:
    """How many connections and how many watchers the server holds."""
    return len(live.runtime.part(Connections)._all), len(live.runtime.part(Watches)._owners)


async def streamed(
    live: LiveServer, headers: Mapping[str, str], query: str, variables: Mapping[str, Any], method: str = "POST"
) -> AsyncIterator[dict[str, Any]]:
    """What a subscription answers as server-sent events, up to its last event."""
    asked: dict[str, Any] = {"json": {"query": query, "variables": dict(variables)}}
    if method == "GET":
        asked = {"params": {"query": query, "variables": orjson.dumps(dict(variables)).decode()}}
    accepting = {**headers, "accept": "text/event-stream"}
    async with live.http.stream(method, "/graphql", headers=accepting, **asked) as answer:
        if answer.status_code != 200:
            raise RefusedError(answer.status_code, orjson.loads(await answer.aread()))
        kind = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            if name == "data" and kind == "next":
                body = orjson.loads(value)
                if body.get("errors"):
                    raise RefusedError(200, body)
                yield body["data"]
            if name == "data:" or (name == "data" and kind == "complete"):
                return


class RefusedError(Exception):
    """A subscription was not begun, or has ended; its status, and the code of the error."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.code = body["errors"][0]["extensions"]["code"]
        super().__init__(self.code)
