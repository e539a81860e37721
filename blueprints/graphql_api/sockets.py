"""GraphQL over WebSockets, by the protocol graphql-transport-ws: one connection, and the operations that run over it.

A cookie says nothing here: the pages of any site can make a browser connect, and it sends the cookie along. Who asks is
shown by a token, in the first message or in the headers, and looked at anew for each operation.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, NamedTuple

import orjson
import structlog
from graphql import OperationType
from sanic import Request
from sanic.server.websockets.frame import WebsocketFrameAssembler
from websockets.frames import Frame

from app.errors import (
    CallerNotSentError,
    PortalError,
    SessionInvalidError,
    ShuttingDownError,
    SocketOriginRefusedError,
    TooManyConnectionsError,
    TooManyOperationsError,
    UnavailableError,
    ValidationError,
)
from app.execution.failures import told_of
from app.execution.running import Answered, Asked, Engine, RefusedError
from app.runtime import Runtime
from app.services.connections import Connection, Connections, End
from blueprints.graphql_api.callers import Caller, of_token, token_in
from blueprints.graphql_api.messages import Message, WrongMessageError, message_in, token_of
from blueprints.graphql_api.operations import ALL, made_ready, run, subscribed
from blueprints.graphql_api.requests import asked_by
from blueprints.web.cors import CrossOrigin
from blueprints.web.endpoints import Answered as Sent
from blueprints.web.event_streams import UNREAD_SECONDS
from blueprints.web.identify import address_of

SUBPROTOCOLS: Final = ("graphql-transport-ws",)
# Seconds that a client has to say who it is.
INIT_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class Close(NamedTuple):
    """Why a connection is closed, by the protocol's codes."""

    code: int
    reason: str


TOO_LATE: Final = Close(4408, "Connection initialisation timeout")
UNAUTHORIZED: Final = Close(4401, "Unauthorized")
FORBIDDEN: Final = Close(4403, "Forbidden")
INITIALISED: Final = Close(4429, "Too many initialisation requests")
FAILED: Final = Close(4500, "Internal server error")
LATER: Final = Close(1013, "Try again later")
STOPPING: Final = Close(1001, "The server stops")
ENDS: Final[dict[End, Close]] = {"session_ended": UNAUTHORIZED, "forbidden": FORBIDDEN, "stopping": STOPPING}


async def connected(request: Request, engine: Engine, request_id: str) -> Sent:
    """Shake hands, and begin to serve.

    Raises SocketOriginRefusedError, ConnectionsFullError, ShuttingDownError, and what the framework says of handshakes.
    """
    cross_origin: CrossOrigin = request.app.ctx.cross_origin
    if (origin := request.headers.get("origin")) is not None and not cross_origin.allows(origin):
        raise SocketOriginRefusedError
    served = Socket(request, engine, request_id)
    try:
        protocol: Any = request.transport.get_protocol()
        websocket = await protocol.websocket_handshake(request, SUBPROTOCOLS)
    except BaseException:
        served.connection.close()
        raise
    websocket.assembler = Frames(websocket)
    return Sent(None, 101, served.serve(websocket))


class Frames(WebsocketFrameAssembler):
    """The framework's frames; it leaves a connection open, and an error in the log, whose text is not UTF-8."""

    async def put(self, frame: Frame) -> None:
        """Add a frame to the message, or close the connection."""
        try:
            await super().put(frame)
        except UnicodeDecodeError:
            self.protocol.fail_connection(1007, "Not UTF-8")


class Socket:
    """One connection."""

    def __init__(self, request: Request, engine: Engine, request_id: str) -> None:
        self._request = request
        self._runtime: Runtime = request.app.ctx.runtime
        self._engine = engine
        self._request_id = request_id
        self._websocket: Any = None
        self._token: str | None = None
        self._is_acknowledged = False
        self._close: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.connection: Connection = self._runtime.part(Connections).open(lambda end: self._end(ENDS[end]))

    async def serve(self, websocket: Any) -> None:
        """Answer messages until one of both sides hangs up; then nothing of it is left."""
        self._websocket = websocket
        lost = asyncio.create_task(websocket.wait_for_connection_lost())
        late = asyncio.get_running_loop().call_later(INIT_SECONDS, self._end, TOO_LATE)
        try:
            while (data := await self._received(lost)) is not None:
                message = message_in(data)
                if message.type == "connection_init":
                    await self._initialise(message)
                    late.cancel()
                else:
                    await self._answer(message)
        except WrongMessageError as failure:
            self._end(Close(4400, str(failure)))
        except Exception:
            log.exception("graphql_socket_failed", request_id=self._request_id)
            self._end(FAILED)
        finally:
            late.cancel()
            lost.cancel()
            await self._release()

    def _end(self, close: Close) -> None:
        if not self._close.done():
            self._close.set_result(close)

    async def _received(self, lost: asyncio.Task[bool]) -> str | bytes | None:
        """The next message; None once the connection is lost, or has to be closed."""
        receiving: asyncio.Task[str | bytes | None] = asyncio.create_task(self._websocket.recv())
        # The framework raises where the other side has hung up, which is no news once this side has.
        receiving.add_done_callback(lambda received: received.cancelled() or received.exception())
        waited_for: set[asyncio.Future[Any]] = {receiving, lost, self._close}
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not receiving.done():
                receiving.cancel()
        if self._close.done() or not receiving.done() or receiving.cancelled():
            return None
        return None if receiving.exception() is not None else receiving.result()

    async def _release(self) -> None:
        try:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._close.done():
                code, reason = self._close.result()
                async with asyncio.timeout(UNREAD_SECONDS):
                    await self._websocket.close(code, reason)
        except TimeoutError:
            self._abort()
        except Exception as failure:  # noqa: BLE001 - there is nobody left to be told
            log.debug("graphql_socket_lost", request_id=self._request_id, reason=repr(failure))
        finally:
            self.connection.close()

    def _abort(self) -> None:
        transport: Any = self._request.transport
        transport.abort()

    async def _send(self, kind: str, **members: Any) -> None:
        """Send a message; a client that does not read is cut off."""
        data = orjson.dumps({"type": kind, **members}, option=orjson.OPT_UTC_Z, default=str).decode()
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._websocket.send(data)
        except TimeoutError:
            log.info("graphql_socket_unread", request_id=self._request_id)
            self._abort()
            raise

    async def _initialise(self, message: Message) -> None:
        if self._is_acknowledged or self._token is not None:
            self._end(INITIALISED)
            return
        try:
            self._token = token_of(message.payload) or token_in(self._request)
            caller = await self._caller()
            self.connection.identify(caller.ctx.actor, caller.credential)
        except (PortalError, TooManyConnectionsError) as failure:
            self._end(_close_for(failure))
            return
        self._is_acknowledged = True
        await self._send("connection_ack")

    async def _caller(self) -> Caller:
        if self._token is None:
            raise CallerNotSentError
        return await of_token(self._runtime, self._token, self._request_id, address_of(self._request))

    async def _answer(self, message: Message) -> None:
        if message.type == "ping":
            await self._send("pong")
        elif message.type == "pong":
            pass
        elif message.type == "complete":
            if (task := self._running.pop(message.id, None)) is not None:
                task.cancel()
        elif not self._is_acknowledged:
            self._end(UNAUTHORIZED)
        elif message.id in self._running:
            self._end(Close(4409, f"Subscriber for {message.id} already exists"))
        else:
            await self._subscribe(message)

    async def _subscribe(self, message: Message) -> None:
        try:
            asked = asked_by(message.payload)
        except ValidationError as failure:
            raise WrongMessageError(f"Invalid payload: {failure.fields[0].name}") from None
        limit = self._runtime.settings.graphql_max_operations
        if len(self._tasks) >= limit:
            failures = [told_of(TooManyOperationsError(limit=limit), self._request_id)]
            await self._send("error", id=message.id, payload=failures)
            return
        task = asyncio.create_task(self._operate(message.id, asked), name="graphql-operation")
        self._running[message.id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, operation_id: str, asked: Asked) -> None:
        """Run one operation to its end; whatever happens is told, and nothing is raised."""
        with contextlib.suppress(TimeoutError):
            failures = await self._failures_of(operation_id, asked)
            # From now on the client may use the id again: it is told so by what follows.
            if self._running.get(operation_id) is asyncio.current_task():
                del self._running[operation_id]
            if failures:
                await self._send("error", id=operation_id, payload=failures)
            elif not self._close.done():
                await self._send("complete", id=operation_id)

    async def _failures_of(self, operation_id: str, asked: Asked) -> list[dict[str, Any]]:
        """Send what the operation answers; why it was not run, or why it ended."""
        failures: list[dict[str, Any]] = []
        try:
            await self._run(operation_id, asked)
        except RefusedError as refused:
            failures = refused.answered(self._request_id).body["errors"]
        except ShuttingDownError:
            self._end(STOPPING)
        except SessionInvalidError:
            # All that runs here has been asked for by this session.
            self._end(UNAUTHORIZED)
        except PortalError as failure:
            failures = [told_of(failure, self._request_id)]
        except TimeoutError:
            raise
        except Exception:
            transport: Any = self._request.transport
            # The framework raises where the other side has hung up.
            if not self._close.done() and not transport.is_closing():
                log.exception("graphql_operation_failed", request_id=self._request_id)
                failures = [told_of(PortalError(), self._request_id)]
        return failures

    async def _run(self, operation_id: str, asked: Asked) -> None:
        """Send what the operation answers, and return at its end; raises what ends it before."""
        try:
            ctx = (await self._caller()).ctx
        except PortalError as failure:
            self._end(_close_for(failure))
            return
        ready = await made_ready(self._engine, ctx, asked, ALL)
        if ready.operation.kind is not OperationType.SUBSCRIPTION:
            await self._tell(operation_id, await run(self._engine, ctx, ready))
            return
        subscription = await subscribed(self._engine, ctx, ready)
        try:
            while True:
                await self._tell(operation_id, await subscription.next())
        finally:
            subscription.close()

    async def _tell(self, operation_id: str, answer: Answered) -> None:
        await self._send("next", id=operation_id, payload=answer.body)


def _close_for(failure: PortalError) -> Close:
    """The code for a caller that may not ask, or not now."""
    if isinstance(failure, UnavailableError | TooManyConnectionsError):
        return LATER
    return {401: UNAUTHORIZED, 403: FORBIDDEN}.get(failure.status, FAILED)
