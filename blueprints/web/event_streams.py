"""Server-sent events: an answer that goes on for as long as there is something to tell, and longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog
from sanic import Request
from sanic.response import HTTPResponse

from app.errors import UnavailableError
from app.runtime import Runtime
from blueprints.web.answer_headers import finish
from blueprints.web.endpoints import Answered

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
# Milliseconds after which a client that was cut off comes back.
RETRY_MILLISECONDS: Final = 2000
# Seconds without an event after which a comment shows that the stream lives; well below the framework's time-out.
PING_SECONDS: Final = 15.0
# Seconds that a client may leave its connection full: then it is cut off, and comes back for the rest.
UNREAD_SECONDS: Final = 20.0
# Bytes that are handed to the connection at a time, so that what a client does not read stays small.
CHUNK_BYTES: Final = 32_768

Told_co = TypeVar("Told_co", covariant=True)


class Happenings(Protocol[Told_co]):
    """What is told: ``end`` says why there will be no more."""

    @property
    def end(self) -> str | None:
        """None while there may be more."""

    async def next(self, seconds: float | None = None) -> Sequence[Told_co]:
        """What has happened; nothing after so many seconds without, or at the end."""

    def close(self) -> None:
        """Nobody listens any more."""


class EventStream(NamedTuple):
    """What to tell, how each of it is written, and the last words, if any, for each way in which it ends."""

    happenings: Happenings[Any]
    write: Callable[[Any], bytes]
    last_words: Callable[[str], bytes]


def event_of(kind: str, document: bytes, number: int | None = None) -> bytes:
    """One event: a kind, a JSON document, and the number by which a client says how far it has come."""
    place = b"" if number is None else b"id: %d\n" % number
    return b"%bevent: %b\ndata: %b\n\n" % (place, kind.encode(), document)


async def stream(request: Request, events: EventStream, request_id: str) -> Answered:
    """Begin the stream; what follows is sent as it happens. Whatever happens, the source is closed in the end."""
    try:
        headers = {"x-request-id": request_id, "x-accel-buffering": "no"}
        response: Any = await request.respond(content_type=MEDIA_TYPE, headers=headers)
        finish(request, response)
        if request.method == "HEAD":
            # The framework ends what was begun.
            events.happenings.close()
            return Answered(None, int(response.status))
        await response.send(b"retry: %d\n\n" % RETRY_MILLISECONDS)
    except BaseException:
        events.happenings.close()
        raise
    return Answered(None, int(response.status), _tell(request, response, events, request_id))


async def _tell(request: Request, response: HTTPResponse, events: EventStream, request_id: str) -> None:
    happenings = events.happenings
    runtime: Runtime = request.app.ctx.runtime
    # The framework ends an answer of which nothing was sent for that long.
    ping_seconds = min(PING_SECONDS, runtime.settings.response_timeout_seconds / 3)
    try:
        while True:
            if told := await happenings.next(ping_seconds):
                for chunk in _chunks(map(events.write, told)):
                    await _send(response, chunk)
            elif happenings.end is None:
                await _send(response, b":\n\n")
            else:
                break
        await _send(response, events.last_words(happenings.end))
        await _send(response, b"", is_last=True)
    except TimeoutError:
        log.info("stream_unread", request_id=request_id)
        _cut(request)
    except UnavailableError as failure:
        log.warning("stream_cut", request_id=request_id, reason=str(failure))
        _cut(request)
    except Exception:
        log.exception("stream_cut", request_id=request_id)
        _cut(request)
    finally:
        happenings.close()


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    waiting, size = [], 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


async def _send(response: Any, data: bytes, *, is_last: bool = False) -> None:
    """Hand the bytes to the connection; raises TimeoutError where the client does not read."""
    async with asyncio.timeout(UNREAD_SECONDS):
        if is_last:
            await response.eof()
        elif data:
            await response.send(data)


def _cut(request: Request) -> None:
    """An error can no longer be answered: a client that comes back gets one, or the rest."""
    transport: Any = request.transport
    transport.abort()
