"""Runs that something happens in, and clients that watch them as they are meant to be watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import bindparam, insert, select, update
from support.admin import as_tenant
from support.builders import Licensed, licensed
from support.live import LiveServer
from support.projects import PLACE, created

from app.database.connections import WriteConnection
from app.runtime import Runtime
from app.telemetry import metrics
from sql.statements.run_events import insert_run_events
from sql.tables import projects, runs

# How many tasks of a run have ended, by how.
COUNTED = ("completedTasks", "failedTasks", "cancelledTasks")

_locked = select(runs.c.id).where(runs.c.id == bindparam("of_id")).with_for_update(key_share=True)
_counted = (
    update(runs)
    .where(runs.c.id == bindparam("of_id"))
    .values(events=runs.c.events + bindparam("more"))
    .returning(runs.c.events)
)
_ended = update(runs).where(runs.c.id == bindparam("of_id")).values(state="completed", ended_at=bindparam("now"))


@dataclass(frozen=True)
class Run:
    """A run of a tenant's project, and what the tenant's session sends."""

    id: int
    tenant: Licensed
    project_id: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where its events are watched."""
        return f"{PLACE}/{self.project_id}/events"


async def begun(live: LiveServer, tenant: Licensed | None = None, project_id: str | None = None) -> Run:
    """A run of the tenant's project, or of a new one, in which nothing has happened yet."""
    tenant = tenant or await licensed(live)
    project_id = project_id or (await created(live, tenant))["projectId"]
    headers = await as_tenant(live, tenant.tenant_id)
    now = live.ctx.now()
    async with live.ctx.write() as conn:
        key = select(projects.c.id).where(projects.c.project_id == project_id)
        number = await conn.one(key, int)
        run_id = await conn.one(
            insert(runs).returning(runs.c.id),
            int,
            tenant_id=tenant.tenant_id,
            project_number=number,
            state="running",
            brief="{}",
            started_by="it",
            reservation_id=0,
            started_at=now,
            moved_at=now,
        )
    return Run(run_id, tenant, project_id, headers)


async def happen(runtime: Runtime, run: Run, events: int = 1, *, rings: bool = True, **more: Any) -> None:
    """Let so much happen in one transaction, as a move of the run does, and ring after the commit."""
    async with runtime.db.write() as conn:
        await write_events(conn, runtime, run, events, **more)
    if rings:
        runtime.run_moved(run.id, run.tenant.tenant_id)


async def write_events(
    conn: WriteConnection, runtime: Runtime, run: Run, events: int = 1, *, ends: bool = False, size: int = 100
) -> None:
    """Write events under the run's lock; with ``ends`` the last one tells that the run has ended."""
    await conn.one(_locked, int, of_id=run.id)
    now = runtime.clock.now()
    newest = await conn.one(_counted, int, of_id=run.id, more=events)
    figures = {"state": "running", "totalTasks": 1, **dict.fromkeys(COUNTED, 0)}
    rows = [
        {
            "tenant_id": run.tenant.tenant_id,
            "run_id": run.id,
            "task_id": None,
            "number": number,
            "kind": "run_completed" if ends and number == newest else "task_started",
            "message": f"event {number}".ljust(size, "."),
            "data": orjson.dumps({"run": figures, "task": None}).decode(),
            "created_at": now,
        }
        for number in range(newest - events + 1, newest + 1)
    ]
    await conn.insert_all(insert_run_events, rows)
    if ends:
        await conn.affected(_ended, of_id=run.id, now=now)


class Told:
    """One event as a client reads it."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines)
        self.number = int(fields["id"]) if "id" in fields else None
        self.kind = fields["event"]
        self.data = orjson.loads(fields["data"])


class Watching:
    """A client that reads a stream of server-sent events from a socket of its own."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.told: list[Told] = []
        self.pings = 0
        self.problem: Any = None
        # Whether the answer came to its end; a connection that was cut has none.
        self.is_whole = False
        self._changed = asyncio.Event()
        self._text = b""

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events so far."""
        return [told.number for told in self.told if told.number is not None]

    @property
    def end(self) -> str | None:
        """Why the stream has ended, if it said so."""
        return self.told[-1].data["reason"] if self.told and self.told[-1].kind == "end" else None

    async def open(self, base_url: str, path: str, headers: Mapping[str, str], *, method: str = "GET") -> None:
        """Ask, and read the head of the answer."""
        parts = urlsplit(base_url)
        self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        lines = [f"{method} {path} HTTP/1.1", "host: portal", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if self.status != 200:
            self.problem = orjson.loads(await self._reader.readexactly(int(self.headers["content-length"])))
            await self.close()

    async def read(self) -> None:
        """Read until the stream ends or is cut."""
        try:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                self._text += (await self._reader.readexactly(size + 2))[:-2]
                self._take()
            self.is_whole = True
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self._changed.set()

    def _take(self) -> None:
        *blocks, self._text = self._text.split(b"\n\n")
        for block in blocks:
            lines = block.decode().split("\n")
            if lines == [":"]:
                self.pings += 1
            elif not lines[0].startswith("retry:"):
                self.told.append(Told(lines))
        self._changed.set()

    async def until(self, events: int, seconds: float = 20) -> None:
        """Wait until so many events have come."""
        async with asyncio.timeout(seconds):
            while len(self.numbers) < events:
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class Watchers:
    """Clients of one server, which hang up in the end."""

    def __init__(self) -> None:
        self._all: dict[Watching, asyncio.Task[None] | None] = {}

    async def watch(
        self, live: Any, run: Run, *, query: str = "", last: int | None = None, reads: bool = True, **headers: str
    ) -> Watching:
        """A client of the run's stream that has been answered."""
        watching = Watching()
        sent = {**run.headers, **headers} | ({} if last is None else {"last-event-id": str(last)})
        await watching.open(live.base_url, f"{run.place}{query}", sent)
        if watching.status == 200:
            self._all[watching] = asyncio.create_task(watching.read()) if reads else None
        return watching

    async def ended(self, watching: Watching, seconds: float = 10) -> None:
        """Wait until a stream has ended."""
        reading = self._all[watching]
        assert reading is not None
        async with asyncio.timeout(seconds):
            await asyncio.shield(reading)

    async def hang_up(self) -> None:
        """Close all connections."""
        for watching in self._all:
            await watching.close()
        await asyncio.gather(*(task for task in self._all.values() if task is not None))


def open_streams() -> int:
    """How many streams the servers of this process have open."""
    return int(metrics.run_watchers._value.get())
