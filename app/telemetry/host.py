"""How busy this host is; looked at once a second at most, whoever asks, and never on the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

import psutil
import structlog

LOOK_AGAIN_SECONDS: Final = 1.0
# What a first look compares two moments of.
FIRST_SECONDS: Final = 0.1

log = structlog.get_logger(__name__)


class HostLoad(NamedTuple):
    """In per cent of all that the host has; 0 where it cannot be measured."""

    cpu_percent: float
    memory_percent: float


class _Host:
    """This host, and the last look at it."""

    def __init__(self) -> None:
        self._last: HostLoad | None = None
        self._looked_at = -LOOK_AGAIN_SECONDS
        self._lock = asyncio.Lock()

    async def load(self) -> HostLoad:
        """The load since the look before."""
        async with self._lock:
            if self._last is None:
                await asyncio.to_thread(_look)
                await asyncio.sleep(FIRST_SECONDS)
            elif time.monotonic() - self._looked_at < LOOK_AGAIN_SECONDS:
                return self._last
            self._last = await asyncio.to_thread(_look)
            self._looked_at = time.monotonic()
            return self._last


_host = _Host()


async def host_load() -> HostLoad:
    """How busy this host is now."""
    return await _host.load()


def _look() -> HostLoad:
    try:
        return HostLoad(float(psutil.cpu_percent()), float(psutil.virtual_memory().percent))
    except (OSError, RuntimeError, psutil.Error) as failure:
        log.warning("host_load_unknown", reason=str(failure))
        return HostLoad(0.0, 0.0)
