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
