"""Whether a SQLite file can grow: on a full or a read-only disk everything is read and nothing is stored."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from app.errors import DatabaseUnavailableError
from app.runtime import Runtime

# As much as a transaction of some size needs beside the file.
NEEDED_BYTES: Final = 64 * 1024
LOOK_AGAIN_SECONDS: Final = 2.0


class RoomToWrite:
    """Looked at every two seconds at most, by a file of its own: no answer waits for the database's lock."""

    def __init__(self, runtime: Runtime) -> None:
        name = runtime.settings.database.database if runtime.db.is_sqlite else None
        self._folder = Path(name).absolute().parent if name and name != ":memory:" else None
        self._seen_at = -LOOK_AGAIN_SECONDS

    async def check(self) -> None:
        """Raise DatabaseUnavailableError where the file cannot grow."""
        if self._folder is None or time.monotonic() - self._seen_at < LOOK_AGAIN_SECONDS:
            return
        try:
            await asyncio.to_thread(_write, self._folder / f".room-{os.getpid()}")
        except OSError as failure:
            raise DatabaseUnavailableError from failure
        self._seen_at = time.monotonic()


def _write(path: Path) -> None:
    try:
        path.write_bytes(bytes(NEEDED_BYTES))
    finally:
        path.unlink(missing_ok=True)
