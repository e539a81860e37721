"""Filtering the durable engine's log: no repetitions, and no records of failures that the portal logs itself."""

from __future__ import annotations

import logging
import math
import time
from typing import Final

# Seconds between two records of the same line of the engine's code: during an outage each of its threads repeats it.
LOG_AGAIN_SECONDS: Final = 60.0


class _EngineFilter(logging.Filter):
    """Drops repeated records, and those about failed runs, which the portal logs where they fail."""

    LOGGED_BY_PORTAL: Final = (
        "Asyncio task cancelled",
        "Exception encountered in asynchronous workflow",
        "Step being automatically retried",
    )

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep the record; all records below warnings are kept, for the log level that shows them."""
        if record.levelno < logging.WARNING:
            return True
        if str(record.msg).startswith(self.LOGGED_BY_PORTAL):
            return False
        line, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._logged_at.get(line, -math.inf) < LOG_AGAIN_SECONDS:
            return False
        self._logged_at[line] = now
        return True


def configure_engine_log() -> None:
    """Send the engine's records to the portal's log: with a handler present the engine adds none of its own."""
    logger = logging.getLogger("dbos")
    if not any(isinstance(existing, _EngineFilter) for existing in logger.filters):
        logger.addFilter(_EngineFilter())
        logger.addHandler(logging.NullHandler())
