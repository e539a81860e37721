"""The files in which processes keep their metrics: a disk that is full never costs the process that counts.

The client library maps files that are longer than what is written of them. Where the disk has no room for a page, the
system ends the process by SIGBUS when that page is written. Here each page is there before it is mapped, and a process
for which there is none counts in memory: its values are missing from the sums, and nothing else.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import mmap_dict, values

log = structlog.get_logger(__name__)

FIRST_BYTES = 1 << 16
# What stands before and behind a key in the file.
AROUND_KEY = 4 + 16


class AllocatedFile(mmap_dict.MmapedDict):
    """The library's file of numbers, whose pages are all there, or its like in memory."""

    _f: Any
    _m: Any

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            if not read_mode:
                with Path(filename).open("a+b") as file:
                    _allocate(file.fileno(), max(FIRST_BYTES, os.fstat(file.fileno()).st_size))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        except OSError as failure:
            if read_mode:
                raise
            _tell(failure)
            # An empty one would keep the others' from being read.
            with contextlib.suppress(OSError):
                Path(filename).unlink()
            self._f, self._fname, self._positions = None, filename, dict[str, int]()
            self._capacity, self._used = FIRST_BYTES, 8
            self._m = mmap.mmap(-1, FIRST_BYTES)
            self._m[:4] = self._used.to_bytes(4, sys.byteorder)

    def _init_value(self, key: str) -> None:
        """Make room for a number before the library writes it."""
        length = len(key.encode()) + 8 + AROUND_KEY
        while self._used + length > self._capacity:
            self._grow(self._capacity * 2)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self, capacity: int) -> None:
        try:
            if self._f is not None:
                _allocate(self._f.fileno(), capacity)
                self._m, self._capacity = mmap.mmap(self._f.fileno(), capacity), capacity
                return
        except OSError as failure:
            _tell(failure)
            self._f.close()
            self._f = None
        in_memory = mmap.mmap(-1, capacity)
        in_memory[: self._used] = self._m[: self._used]
        self._m, self._capacity = in_memory, capacity


def keep_in_allocated_files() -> None:
    """Have the library keep its values so; called before the first metric is made."""
    values.MmapedDict = AllocatedFile  # type: ignore[attr-defined]


def _allocate(descriptor: int, size: int) -> None:
    """Have the disk hold so many bytes for the file; raises OSError where it does not."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.pwrite(descriptor, bytes(size - os.fstat(descriptor).st_size), os.fstat(descriptor).st_size)


def _tell(failure: OSError) -> None:
    log.warning("metrics_in_memory", pid=os.getpid(), reason=failure.strerror)
