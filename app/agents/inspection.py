"""Inspection of files: parses what can be parsed, in a child process that hostile files may kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import marshal
import os
import signal
import sys
from collections.abc import Mapping
from typing import NamedTuple

# A file that kills the process is found out by it, and the rest is read by another one.
MAX_DEATHS = 5
WALL_SECONDS = 90.0


class Inspection(NamedTuple):
    """What is wrong with a file, and what is suspicious in it."""

    problems: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


async def inspect(files: Mapping[str, bytes]) -> dict[str, Inspection]:
    """The inspection of each file. A cancelled call kills the child process."""
    inspected: dict[str, Inspection] = {}
    for _ in range(MAX_DEATHS):
        rest = {path: content for path, content in files.items() if path not in inspected}
        if not rest:
            return inspected
        begun = await _inspect(rest, inspected)
        if begun is not None:
            inspected[begun] = Inspection(("parsing it takes too much time or memory",))
    unread = {path: Inspection(("it was not checked, because others had to be given up",)) for path in files}
    return {**unread, **inspected}


async def _inspect(files: Mapping[str, bytes], inspected: dict[str, Inspection]) -> str | None:
    """Let a child inspect files; answers the one with which it has died."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "app.agents.parsers",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        limit=1 << 20,
        start_new_session=True,
    )
    begun: str | None = None
    sending = asyncio.ensure_future(_send(process, marshal.dumps(dict(files))))
    try:
        async with asyncio.timeout(WALL_SECONDS):
            while process.stdout is not None and (line := await process.stdout.readline()):
                said = json.loads(line)
                begun = said.get("begins")
                if begun is None:
                    inspected[said["path"]] = Inspection(tuple(said["problems"]), tuple(said["findings"]))
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            # Not process.kill(): it would take the exit status away from whom it is waited for by.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        sending.cancel()
        await process.wait()
    return begun


async def _send(process: asyncio.subprocess.Process, content: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(ConnectionError):
        process.stdin.write(content)
        await process.stdin.drain()
        process.stdin.close()
