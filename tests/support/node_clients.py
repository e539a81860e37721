"""The clients of programs in JavaScript, installed once at pinned versions and run in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from support.live import LiveServer
from support.sockets import address
from support.tools import NotHereError, command, installed

FOLDER = Path(__file__).with_name("node")
FILES = [FOLDER / name for name in ("package.json", "package-lock.json", "clients.mjs")]
CLIENTS = ("graphql-ws 5", "graphql-ws 6", "graphql-sse")


def clients_folder() -> Path:
    """Where the clients are; raises NotHereError."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        raise NotHereError(f"there is no {' and no '.join(missing)} on this machine")
    words = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
    return installed("node", FILES, lambda folder: command(*words, folder=folder))


class NodeClients:
    """What the clients have been told so far, by client and document."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], list[Any]] = {}
        # Whatever is no answer: what was refused, and what has ended.
        self.ends: list[dict[str, Any]] = []

    def add(self, line: bytes) -> None:
        """Add what one line tells."""
        told = orjson.loads(line)
        if "answer" in told:
            self._answers.setdefault((told["client"], told["document"]), []).append(told["answer"])
        else:
            self.ends.append(told)

    def of(self, client: str, document: str) -> list[Any]:
        """What a client was answered to a document."""
        return self._answers.get((client, document), [])


@contextlib.asynccontextmanager
async def node_clients(
    folder: Path, live: LiveServer, token: str, documents: Mapping[str, Any]
) -> AsyncIterator[NodeClients]:
    """Clients that run until the block ends, and then hang up as their libraries do."""
    given = {"http": f"{live.base_url}/graphql", "ws": address(live), "token": token, "documents": documents}
    process = await asyncio.create_subprocess_exec(
        "node", "clients.mjs", orjson.dumps(given).decode(), cwd=folder, stdin=-1, stdout=-1, stderr=-1, limit=2**20
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    clients = NodeClients()
    reading = asyncio.create_task(_read(process.stdout, clients))
    complaints = asyncio.create_task(process.stderr.read())
    try:
        yield clients
        process.stdin.close()
        async with asyncio.timeout(10):
            assert (await process.wait(), await complaints) == (0, b"")
            await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.gather(reading, complaints, return_exceptions=True)


async def _read(lines: asyncio.StreamReader, clients: NodeClients) -> None:
    async for line in lines:
        clients.add(line)
