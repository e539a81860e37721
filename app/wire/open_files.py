"""How many files a process may have open: each connection is one."""

from __future__ import annotations

import contextlib
import resource

# What the limit is taken for where there is none.
WITHOUT_LIMIT = 2**20


def raise_open_files() -> int:
    """Raise the limit to the hardest that this user may have, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_files()


def open_files() -> int:
    """How many this process may have open."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def most_open_files() -> int:
    """How many it may have open once the limit was raised."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _number(limit: int) -> int:
    return WITHOUT_LIMIT if limit == resource.RLIM_INFINITY else limit
