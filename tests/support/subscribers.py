"""Clients that subscribe to task changes over WebSockets, hang up and come back with what they were told last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select
from support.processes import ServerProcess
from support.sockets import PROTOCOL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.services.progress.places import text_of
from app.services.runs.run_events import Cursor
from sql.tables import run_events

TASKS = """subscription($projectId: String, $after: String) {
  told: taskUpdates(projectId: $projectId, after: $after) { task: id cursor }
}"""
ACTIVITIES = """subscription($agentType: AgentType, $after: String) {
  told: agentActivity(agentType: $agentType, after: $after) { task: taskId cursor }
}"""


class Change(NamedTuple):
    """A change of a task as it is kept, in the order of all of them; ``cursor`` is its place as subscribers see it."""

    cursor: str
    task: str
    tenant_id: int
    run_id: int
    agent_type: str


async def changes_of(server: ServerProcess) -> list[Change]:
    """All changes of tasks so far."""
    kept = run_events.c
    asked = (
        select(kept.xid, kept.run_id, kept.number, kept.task_id, kept.tenant_id, kept.data)
        .where(kept.task_id.is_not(None))
        .order_by(kept.xid, kept.run_id, kept.number)
    )
    async with server.ctx.read() as conn:
        return [
            Change(
                text_of(Cursor(row.xid, row.run_id, row.number)),
                str(row.task_id),
                row.tenant_id,
                row.run_id,
                orjson.loads(row.data)["task"]["agentType"],
            )
            for row in await conn.rows(asked)
        ]


@dataclass(eq=False)
class Subscriber:
    """One client with one subscription over a connection of its own, and what it was told so far, over all of them."""

    credentials: Mapping[str, str]
    query: str
    variables: dict[str, Any]
    # Which changes it is to be told.
    matches: Callable[[Change], bool]
    told: list[tuple[str, str]] = field(default_factory=list)
    # The code with which the server has closed its connection.
    code: int | None = None
    _connection: ClientConnection | None = None
    _reading: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, server: ServerProcess) -> None:
        """Connect and subscribe, behind what was told last."""
        address = server.base_url.replace("http", "ws", 1) + "/graphql"
        self._connection = await connect(address, subprotocols=[PROTOCOL], compression=None, proxy=None)
        await self._say("connection_init", payload=dict(self.credentials))
        assert orjson.loads(await self._connection.recv()) == {"type": "connection_ack"}
        after = {"after": self.told[-1][0]} if self.told else {}
        await self._say("subscribe", id="1", payload={"query": self.query, "variables": {**self.variables, **after}})
        self._reading = asyncio.create_task(self._read(self._connection))

    async def until(self, changes: int, seconds: float) -> None:
        """Wait until it was told so many changes; raises TimeoutError, and what the server answers instead."""
        async with asyncio.timeout(seconds):
            while len(self.told) < changes:
                await self._next()

    async def closed(self, seconds: float) -> None:
        """Wait until the server has closed the connection."""
        assert self._reading is not None
        async with asyncio.timeout(seconds):
            await asyncio.shield(self._reading)

    async def hang_up(self) -> None:
        """Cut the connection, as a network does; what is under way is lost."""
        if self._connection is not None and self._reading is not None:
            self._reading.cancel()
            self._connection.transport.abort()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
            await self._connection.wait_closed()

    async def _next(self) -> None:
        assert self._reading is not None
        self._changed.clear()
        waiting = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._reading.done():
            self._reading.result()
            assert self.code is None, f"closed with {self.code} after {len(self.told)} changes"

    async def _say(self, kind: str, **members: Any) -> None:
        assert self._connection is not None
        await self._connection.send(orjson.dumps({"type": kind, **members}).decode())

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                message = orjson.loads(text)
                assert message["type"] == "next", message
                told = message["payload"]["data"]["told"]
                self.told.append((told["cursor"], told["task"]))
                self._changed.set()
        except ConnectionClosed:
            pass
        self.code = connection.close_code
