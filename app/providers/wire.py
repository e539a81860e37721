"""The HTTP client of all providers: nothing leaves it that is not metered, and no attempt takes longer than it may."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any, cast

import httpx2

from app.certificates import trusted_authorities
from app.providers.metering import Meter, Outcome, Plan, input_bound

CONNECT_SECONDS = 10.0
# Connections to providers that one process has open, and those that it keeps for the next call, in so many pools.
MAX_CONNECTIONS = 256
IDLE_CONNECTIONS = 64
POOLS = 8


class Attempt:
    """One HTTP attempt: it is begun with its meter when its body is known, and ended once."""

    def __init__(self, meter: Meter, provider: str, model: str, max_tokens: int, timeout_seconds: float) -> None:
        self._meter = meter
        self._provider = provider
        self._model = model
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._begun: Any = None
        self._is_open = False
        self._began_at = 0.0
        # Why the meter has not let it leave; the provider's library wraps it into an error of its own.
        self.refusal: BaseException | None = None
        self.has_left = False

    async def begin(self, body_bytes: int) -> float:
        """Reserve for a body of this size; answers the loop's time at which the attempt must have ended."""
        if self._is_open or self.has_left:
            raise RuntimeError("one attempt was sent twice")
        plan = Plan(self._provider, self._model, input_bound(body_bytes), self._max_tokens)
        try:
            self._begun = await self._meter.begin(plan)
        except BaseException as failure:
            self.refusal = failure
            raise
        self._is_open, self._began_at = True, time.monotonic()
        return asyncio.get_running_loop().time() + self._timeout_seconds

    async def end(self, outcome: Outcome) -> None:
        """Settle, unless nothing was reserved or it is settled already."""
        if outcome.error is None and not self.has_left:
            raise RuntimeError("the provider has answered what was not metered")
        if self._is_open:
            self._is_open = False
            await self._meter.end(self._begun, outcome._replace(duration_ms=self._milliseconds()))

    def _milliseconds(self) -> int:
        return round((time.monotonic() - self._began_at) * 1000)

    async def trace(self, event: str, info: object) -> None:
        """Told by the HTTP library of each step: from the first byte of the request on, it may have arrived."""
        if event.endswith("send_request_headers.started"):
            self.has_left = True

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """What is sent in this block is this attempt."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)


_current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class MeteredClient(httpx2.AsyncClient):
    """Sends a request as the current attempt; without one it sends nothing."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As a client of httpx2; a request that takes longer than its attempt may is a time-out of that library."""
        if (attempt := _current.get()) is None:
            raise RuntimeError("a request to a provider is not metered")
        ends_at = await attempt.begin(len(await request.aread()))
        request.extensions = {**request.extensions, "trace": attempt.trace}
        with _in_time(request, attempt):
            async with asyncio.timeout_at(ends_at):
                response = await super().send(request, **options)
        if not response.is_stream_consumed:
            response.stream = _InTime(response, attempt, ends_at)
        return response


class _InTime(httpx2.AsyncByteStream):
    """A streamed body that ends with a time-out when its attempt has taken too long."""

    def __init__(self, response: httpx2.Response, attempt: Attempt, ends_at: float) -> None:
        self._stream = cast("httpx2.AsyncByteStream", response.stream)
        self._request = response.request
        self._attempt = attempt
        self._ends_at = ends_at

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while True:
            with _in_time(self._request, self._attempt):
                async with asyncio.timeout_at(self._ends_at):
                    chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextlib.contextmanager
def _in_time(request: httpx2.Request, attempt: Attempt) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        kind = httpx2.ReadTimeout if attempt.has_left else httpx2.ConnectTimeout
        raise kind("the provider took too long", request=request) from None


class _Pools(httpx2.AsyncBaseTransport):
    """Several pools of connections that are used in turn.

    At the beginning and at the end of each request a pool asks the system about every connection that is idle in it:
    with all connections in one pool that was a third of what the portal adds to a call.
    """

    def __init__(self, verify: ssl.SSLContext) -> None:
        limits = httpx2.Limits(
            max_connections=MAX_CONNECTIONS // POOLS, max_keepalive_connections=IDLE_CONNECTIONS // POOLS
        )
        self._pools = [httpx2.AsyncHTTPTransport(verify=verify, limits=limits) for _ in range(POOLS)]
        self._turns = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sent by the next pool."""
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        """Close all of them."""
        for pool in self._pools:
            await pool.aclose()


def metered_client(timeout_seconds: float) -> MeteredClient:
    """A client for all providers of one event loop; the caller closes it.

    Where the environment names a proxy, that one has its own connections.
    """
    verify = trusted_authorities()
    return MeteredClient(
        timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        verify=verify,
        mounts={"all://": _Pools(verify)},
    )
