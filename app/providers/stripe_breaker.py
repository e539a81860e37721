"""A circuit breaker: while Stripe is silent, nobody waits for it but one attempt of the breaker's own at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.errors import PaymentsUnavailableError
from app.telemetry import metrics

# After so many calls in a row to which Stripe has said nothing at all, it is left alone.
SILENT_CALLS: Final = 3
# Seconds for which it is left alone after each of them; those who are refused are told to come back after them.
REST_SECONDS: Final = 5.0
# For so long a caller waits for Stripe to answer again before it is refused, or for a random part of it, at least this
# much: those who wait together would else come back together.
HOLD_SECONDS: Final = 2.0
MIN_HOLD_FRACTION: Final = 0.7

log = structlog.get_logger(__name__)


class Breaker:
    """Closed while Stripe answers; open from some silent calls in a row until it answers anything again.

    While it is open, calls are refused, and ``attempt`` asks Stripe after each rest once somebody wants to know: it is
    no call of a tenant's, so nobody's payment is what Stripe is tried with. Any answer counts, also a refusal. Who is
    refused is held for up to ``hold_seconds``: Stripe has time to answer the attempt, and a caller that comes back at
    once costs less than one that waits for a silent Stripe.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[object]],
        *,
        hold_seconds: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempt = attempt
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._closed = asyncio.Event()
        self._closed.set()
        self._silent_calls = 0
        self._answered_at = -math.inf
        self._opened_at = 0.0
        self._rests_until = 0.0
        self._trying: asyncio.Task[None] | None = None

    def now(self) -> float:
        """The moment at which a call begins, for ``silent``."""
        return self._clock()

    def answered(self) -> None:
        """Stripe has answered something."""
        self._answered_at = self._clock()
        self._silent_calls = 0
        if not self._closed.is_set():
            self._closed.set()
            metrics.stripe_silent.dec()
            log.info("stripe_answers_again", seconds=round(self._answered_at - self._opened_at, 1))

    def silent(self, since: float) -> None:
        """A call that began then was given up; it says nothing where Stripe has answered another one meanwhile."""
        if since < self._answered_at or not self._closed.is_set():
            return
        self._silent_calls += 1
        if self._silent_calls >= SILENT_CALLS:
            self._closed.clear()
            self._opened_at = self._clock()
            self._rests_until = self._opened_at + REST_SECONDS
            metrics.stripe_silent.inc()
            log.warning("stripe_left_alone", silent_calls=self._silent_calls, retry_seconds=REST_SECONDS)

    async def admit(self) -> None:
        """Return if Stripe may be asked; raises PaymentsUnavailableError after a while if it is still silent."""
        if self._closed.is_set():
            return
        if self._trying is None and self._clock() >= self._rests_until:
            self._trying = asyncio.create_task(self._try())
        hold = self._hold_seconds * random.uniform(MIN_HOLD_FRACTION, 1)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hold):
                await self._closed.wait()
            return
        metrics.stripe_refusals.inc()
        left = self._rests_until - self._clock()
        raise PaymentsUnavailableError(retry_after=math.ceil(left if left > 0 else REST_SECONDS))

    async def close(self) -> None:
        """End an attempt that is under way; nobody is refused any more."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
        if not self._closed.is_set():
            self._closed.set()
            metrics.stripe_silent.dec()

    async def _try(self) -> None:
        try:
            await self._attempt()
        finally:
            self._trying = None
            self._rests_until = self._clock() + REST_SECONDS
