"""Whether a server's processes take more and more of the machine."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import psutil
from support.processes import ServerProcess

# By so much the last third of the samples may be above the first: workers are young and old in turn.
MOST_GROWTH = 1.25
# Fewer samples, of a short soak, say nothing of growth: connections come and go.
LEAST_SAMPLES = 20


class Sample(NamedTuple):
    """All processes of a server at a moment; memory is what is theirs alone, in MB."""

    seconds: int
    processes: int
    memory_mb: float
    largest_mb: float
    files: int
    connections: int


def sample(server: ServerProcess, seconds: float) -> Sample:
    """The processes of the server as they are now."""
    main = psutil.Process(server.process.pid)
    sizes, files, connections, count = [], 0, 0, 0
    for process in (main, *main.children(recursive=True)):
        # One that was killed meanwhile takes nothing.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            sizes.append(process.memory_full_info().uss / 1e6)
            files += process.num_fds()
            connections += len(process.net_connections())
            count += 1
    return Sample(round(seconds), count, round(sum(sizes), 1), round(max(sizes, default=0), 1), files, connections)


def grown(samples: Sequence[Sample]) -> list[str]:
    """A sentence for each figure whose last third lies above its first one."""
    if len(samples) < LEAST_SAMPLES:
        return []
    third = len(samples) // 3
    found = []
    for name in ("largest_mb", "memory_mb", "files", "connections"):
        first, last = (
            statistics.median(getattr(each, name) for each in part) for part in (samples[:third], samples[-third:])
        )
        if last > first * MOST_GROWTH:
            found.append(f"{name} grew from {first} to {last}")
    return found
