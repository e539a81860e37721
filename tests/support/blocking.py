"""No call may block the event loop, but for those that a library makes once and that nobody waits for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from blockbuster import BlockBuster, blockbuster_ctx


@contextlib.contextmanager
def nothing_blocks() -> Iterator[BlockBuster]:
    """A call that blocks the event loop raises."""
    with blockbuster_ctx() as blocking:
        # Once per connection, not per request: the driver looks for the files of password and certificates.
        for call in ("os.stat", "os.path.abspath", "io.TextIOWrapper.read"):
            blocking.functions[call].can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
        yield blocking
