"""Files of runs: stored, read and deleted without blocking the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from app.errors import FilesUnavailableError
from app.settings import Settings

if TYPE_CHECKING:
    from app.providers.objects import Objects, StoredFile

# Calls of the store that run at once in one process; a thread waits for the store, not for whoever reads slowly.
THREADS: Final = 8
FOLDER: Final = "artifacts"
# As many as S3 deletes at once.
DELETED_AT_ONCE: Final = 1000
MAX_REASON: Final = 300

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


class Artifacts:
    """The store of files of one process, opened when it is first used.

    A file has no path here: it is found by its run and the SHA-256 of its content; which path it has is the manifest's.
    Every method raises FilesUnavailableError when the store does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Threads of its own, because a store that does not answer must not keep others from theirs.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="artifacts")
        self._opening = threading.Lock()
        self._objects: Objects | None = None

    async def put(self, run_id: int, content: bytes) -> str:
        """Store a file and answer its SHA-256 in hexadecimal.

        When this returns, the file survives a crash of this host, so a transaction may name it. Storing it again is
        free of effect.
        """
        return await self.in_thread(lambda objects: objects.put(run_id, content))

    async def get(self, run_id: int, sha256: str, size: int) -> bytes:
        """A whole file, of the size in bytes that its manifest says; raises FileDamagedError for any other content."""
        return await self.in_thread(lambda objects: objects.get(run_id, sha256, size))

    async def stream(self, run_id: int, sha256: str, size: int) -> AsyncGenerator[bytes, None]:
        """A file in pieces; raises FileDamagedError before the last one unless all is what was stored."""
        pieces = await self.in_thread(lambda objects: objects.pieces(run_id, sha256, size))
        while piece := await self.in_thread(lambda _: next(pieces, b"")):
            yield piece

    async def list(self, run_id: int) -> AsyncGenerator[Sequence[StoredFile], None]:
        """The files of a run that the store has, some at a time, for a sweep of those that no manifest names.

        A file is stored before a transaction names it, and storing it again does not renew ``stored_at``: delete only
        what is older than any run may last.
        """
        pages = await self.in_thread(lambda objects: objects.listed(run_id))
        while page := await self.in_thread(lambda _: next(pages, None)):
            yield page

    async def delete(self, run_id: int, digests: Sequence[str]) -> None:
        """Delete these files of a run, whether they are there or not."""
        await self.in_thread(lambda objects: objects.delete(run_id, digests))

    async def delete_run(self, run_id: int, at_most: int = DELETED_AT_ONCE) -> int:
        """Delete so many files of a run; answers how many it found, so 0 when nothing is left.

        Whoever is interrupted calls it again, until it answers 0.
        """
        return await self.in_thread(lambda objects: objects.delete_some(run_id, at_most))

    async def check(self) -> None:
        """Write, read and delete a small file; raises FileDamagedError as well. Logs nothing: its caller tells."""
        await self._done(lambda objects: objects.check())

    async def in_thread(self, work: Callable[[Objects], Answer]) -> Answer:
        """What the work answers, done in one of the store's threads with its blocking calls.

        The log says why a store does not answer; who asked is told only that it does not.
        """
        try:
            return await self._done(work)
        except FilesUnavailableError as failure:
            log.warning("files_unavailable", reason=first_line(failure.__cause__))
            raise

    def close(self) -> None:
        """Begin nothing more; what runs in a thread ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _done(self, work: Callable[[Objects], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(self._opened()))

    def _opened(self) -> Objects:
        with self._opening:
            if self._objects is None:
                # Imported here, in a thread, because most processes never need the library.
                from app.providers.objects import Objects

                self._objects = Objects.opened(self._settings)
            return self._objects


def first_line(failure: BaseException | None) -> str:
    """What a store has answered, without what its library adds for its developers."""
    return (str(failure).splitlines() or [""])[0][:MAX_REASON] or type(failure).__name__
