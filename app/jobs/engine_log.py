"""What the durable engine logs: once where it repeats itself, and not where we say it ourselves."""

from __future__ import annotations

import logging
import math
import time
from typing import Final

# The same line of the engine's code is logged at most this often, in seconds: during an outage each thread repeats it.
LOG_AGAIN_SECONDS: Final = 60.0


class _Calm(logging.Filter):
    """Drops what the engine repeats, and what happens to runs, which is logged where it happens."""

    ELSEWHERE: Final = (
        "Asyncio task cancelled",
        "Exception encountered in asynchronous workflow",
        "Step being automatically retried",
    )

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep the record; who reads everything reads all of it."""
        if record.levelno < logging.WARNING:
            return True
        if str(record.msg).startswith(self.ELSEWHERE):
            return False
        line, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._logged_at.get(line, -math.inf) < LOG_AGAIN_SECONDS:
            return False
        self._logged_at[line] = now
        return True


def calm_logger() -> None:
    """Let the engine's warnings go where ours go: with a handler in place it adds none of its own."""
    logger = logging.getLogger("dbos")
    if not any(isinstance(found, _Calm) for found in logger.filters):
        logger.addFilter(_Calm())
        logger.addHandler(logging.NullHandler())
