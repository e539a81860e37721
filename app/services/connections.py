"""Who stays connected to this process for longer than a request: as many as may, and only while they may ask.

Every two seconds one statement for each kind of credential asks whether those of all connections are good still.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import structlog

from app.access.permissions import Permission
from app.context import Actor
from app.errors import ConnectionsFullError, ShuttingDownError, TooManyConnectionsError, UnavailableError
from app.runtime import Runtime
from app.services.operators.identity import operator_permissions, token_permissions
from app.services.tenants.sessions import good_sessions
from app.telemetry import metrics

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 2.0
# Seconds that the connections of a worker that stops have to say their last words.
STOP_SECONDS: Final = 3.0
# How many may be there of whom nobody knows yet who they are.
MAX_UNKNOWN: Final = 100

CredentialKind = Literal["tenant_session", "operator_session", "api_token"]
# Why a connection has to end: what was shown is good no more, or allows this no more, or the process stops.
End = Literal["session_ended", "forbidden", "stopping"]


class Credential(NamedTuple):
    """What a caller has shown, by its keyed hash."""

    kind: CredentialKind
    token_hash: bytes


class Connection:
    """One of them; ``ended`` is called once, when it has to end."""

    def __init__(self, connections: Connections, ended: Callable[[End], None]) -> None:
        self._connections = connections
        self._ended = ended
        self.end: End | None = None
        self.caller: str | None = None
        self.credential: Credential | None = None

    def identify(self, actor: Actor, credential: Credential) -> None:
        """Say who it is; raises TooManyConnectionsError."""
        self._connections.identify(self, caller_of(actor), credential)

    def finish(self, end: End) -> None:
        """Have it end."""
        if self.end is None:
            self.end = end
            self._ended(end)

    def close(self) -> None:
        """It is gone; may be called again."""
        self._connections.remove(self)


def caller_of(actor: Actor) -> str:
    """Whose connections, and whose budget, those of an actor are."""
    return f"tenant {actor.tenant_id}" if actor.type == "tenant" else f"{actor.type} {actor.id}"


class Connections:
    """The connections of one process; it looks only while there are any."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._all: dict[Connection, None] = {}
        self._unknown = 0
        self._by_caller: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._nobody = asyncio.Event()
        self._nobody.set()
        runtime.at_drain(self._stop)

    def open(self, ended: Callable[[End], None]) -> Connection:
        """A new one, of whoever it may be; raises ShuttingDownError, ConnectionsFullError."""
        if self._runtime.is_stopping:
            raise ShuttingDownError
        if self._unknown >= MAX_UNKNOWN or len(self._all) >= self._runtime.settings.graphql_max_connections:
            raise ConnectionsFullError(retry_after=10)
        if not self._all:
            self._nobody.clear()
            self._looking = asyncio.create_task(self._look(), name="connections")
        connection = Connection(self, ended)
        self._all[connection] = None
        self._unknown += 1
        metrics.graphql_connections.inc()
        return connection

    def identify(self, connection: Connection, caller: str, credential: Credential) -> None:
        """Count a connection as one of this caller's; raises TooManyConnectionsError."""
        limit = self._runtime.settings.graphql_max_connections_per_caller
        if self._by_caller[caller] >= limit:
            raise TooManyConnectionsError(limit=limit)
        self._unknown -= 1
        self._by_caller[caller] += 1
        connection.caller, connection.credential = caller, credential

    def remove(self, connection: Connection) -> None:
        """It is gone."""
        if connection not in self._all:
            return
        del self._all[connection]
        metrics.graphql_connections.dec()
        if connection.caller is None:
            self._unknown -= 1
        else:
            self._by_caller[connection.caller] -= 1
            if not self._by_caller[connection.caller]:
                del self._by_caller[connection.caller]
        if not self._all:
            self._nobody.set()
            if self._looking is not None:
                self._looking.cancel()

    async def _stop(self) -> None:
        for connection in tuple(self._all):
            connection.finish("stopping")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._nobody.wait()
        except TimeoutError:
            log.warning("connections_left", connections=len(self._all))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._end_those_that_may_not()
            except UnavailableError as failure:
                log.warning("connections_not_checked", reason=str(failure))
            except Exception:
                log.exception("connections_check_failed")

    async def _end_those_that_may_not(self) -> None:
        asked = {one.credential for one in self._all if one.credential is not None}
        ends: dict[Credential, End] = {}
        for kind in {credential.kind for credential in asked}:
            ends |= await self._ends({credential for credential in asked if credential.kind == kind}, kind)
        for connection in tuple(self._all):
            if connection.credential in ends:
                connection.finish(ends[connection.credential])

    async def _ends(self, credentials: set[Credential], kind: CredentialKind) -> dict[Credential, End]:
        """Which of these are good no more, and why."""
        hashes = [credential.token_hash for credential in credentials]
        if kind == "tenant_session":
            good = await good_sessions(self._runtime, hashes)
            return {one: "session_ended" for one in credentials if one.token_hash not in good}
        read = operator_permissions if kind == "operator_session" else token_permissions
        permissions = await read(self._runtime, hashes)
        ends: dict[Credential, End] = {}
        for one in credentials:
            if (allowed := permissions.get(one.token_hash)) is None:
                ends[one] = "session_ended"
            elif Permission.RUNS_READ not in allowed:
                ends[one] = "forbidden"
        return ends
