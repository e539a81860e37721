"""A process that stores files of random content until it is killed, and names each that the store has accepted."""

from __future__ import annotations

import asyncio
import sys
from random import Random

from app.providers.artifacts import Artifacts
from app.settings import load_settings

MAX_BYTES = 3_000_000
RUN = 7


async def write_for_ever(folder: str, seed: str) -> None:
    """Three files at a time, as agents that work side by side."""
    artifacts, draw = Artifacts(load_settings(state_dir=folder)), Random(seed)

    async def one_after_the_other() -> None:
        while True:
            content = draw.randbytes(draw.randrange(MAX_BYTES))
            sha256 = await artifacts.put(RUN, content)
            sys.stdout.write(f"{sha256} {len(content)}\n")
            sys.stdout.flush()

    await asyncio.gather(*(one_after_the_other() for _ in range(3)))


if __name__ == "__main__":
    asyncio.run(write_for_ever(*sys.argv[1:]))
