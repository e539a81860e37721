"""Measuring how it all gets on again and again, for one subscription."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog

from app.context import Context
from app.cursors import cursor_of, moment_of, place_at, place_of
from app.errors import UnavailableError, ValidationError
from app.services.progress.figures import Metrics, system_metrics
from app.services.progress.places import wrong_cursor
from app.services.progress.updates import check_project
from app.services.progress.visible import Seen

log = structlog.get_logger(__name__)

# Seconds from one measurement to the next, whatever is asked for.
SHORTEST: Final = 1
LONGEST: Final = 60


class Samples:
    """Metrics, whenever it is time for them; one that the database does not answer is left out."""

    def __init__(self, ctx: Context, project_id: str | None, seconds: int, first_after: float) -> None:
        self._ctx = ctx
        self._project_id = project_id
        self._seconds = seconds
        self._due = asyncio.get_running_loop().time() + first_after

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Metrics:
        """The next measurement."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._due - loop.time())
            # Whoever is slow gets fewer, not all that were due in the meantime.
            self._due = max(self._due, loop.time() - self._seconds) + self._seconds
            try:
                measured = await system_metrics(self._ctx, self._project_id)
            except UnavailableError as failure:
                log.warning("metrics_not_measured", reason=str(failure))
                continue
            return replace(measured, cursor=cursor_of(place_at(measured.timestamp)))

    def close(self) -> None:
        """Nobody listens any more."""


async def metrics_stream(
    ctx: Context, *, interval_seconds: int, project_id: str | None = None, after: str | None = None
) -> Samples:
    """Measurements at an interval, which is clamped.

    Raises CallerNotSentError, PermissionDeniedError, ProjectNotFoundError, ValidationError for a cursor that is none.
    """
    Seen(ctx)
    seconds = max(SHORTEST, min(interval_seconds, LONGEST))
    wait = 0.0 if after is None else _wait(_measured_at(after), seconds, ctx.now())
    await check_project(ctx, project_id)
    return Samples(ctx, project_id, seconds, wait)


def _measured_at(after: str) -> datetime:
    try:
        return moment_of(place_of(after)).astimezone(UTC)
    except (ValidationError, UnicodeError, OverflowError):
        raise wrong_cursor() from None


def _wait(measured_at: datetime, seconds: int, now: datetime) -> float:
    due = measured_at + timedelta(seconds=seconds)
    return max(0.0, min((due - now).total_seconds(), float(seconds)))
