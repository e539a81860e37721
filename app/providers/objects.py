"""The store of files, by calls that block: a folder of this host, S3, Google Cloud Storage or Azure.

Only threads call it. obstore's own coroutines end in threads of its runtime that still want the interpreter when a
short process ends; every third such process was aborted. Its blocking calls leave nothing behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError
from obstore.store import LocalStore, ObjectStore, from_url

from app.errors import FileDamagedError, FilesUnavailableError
from app.providers.artifacts import DELETED_AT_ONCE, FOLDER
from app.settings import Settings
from app.settings.state_folder import OWNER_ONLY, make_state_dir

OWNER_FILE: Final = 0o600
# What is read at once and held in memory, of a file of any size.
PIECE_BYTES: Final = 256 * 1024
LISTED_AT_ONCE: Final = 1000
# A store that fails is asked again for so long; the library's default of three minutes would outlive every request.
RETRIES: Final = 3
RETRY_SECONDS: Final = 10

_SHA256 = re.compile(r"[0-9a-f]{64}")
# How the library names a file in a folder until it is whole.
_UNFINISHED = "#"
# No run has this id.
_NO_RUN: Final = 0

log = structlog.get_logger(__name__)


class StoredFile(NamedTuple):
    """A file of a run as the store has it; storing the same content again does not renew ``stored_at``."""

    sha256: str
    size: int
    stored_at: datetime


class Objects:
    """Files as objects that never change, each named by its run and by the SHA-256 of its content."""

    def __init__(self, store: ObjectStore, root: Path | None) -> None:
        self._store = store
        self._root = root

    @classmethod
    def opened(cls, settings: Settings) -> Objects:
        """The store of these settings; a folder is made. Raises FilesUnavailableError."""
        parts = urlsplit(settings.artifacts_url)
        with _unavailable():
            if parts.scheme not in {"", "file"}:
                retries = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
                return cls(from_url(settings.artifacts_url, retry_config=retries), None)  # type: ignore[call-overload]
            root = Path(unquote(parts.path)) if parts.path else settings.state_dir.absolute() / FOLDER
            make_state_dir(root)
            (root / "runs").mkdir(mode=OWNER_ONLY, exist_ok=True)
            _flush(root)
            return cls(LocalStore(root), root)

    def put(self, run_id: int, content: bytes) -> str:
        """Store a file and answer its SHA-256; it is on the disk when this returns. The same content may come again.

        A stored object that is damaged is replaced by what it should be. Raises FilesUnavailableError.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        key = _key(run_id, sha256)
        with _unavailable():
            if self._root is not None:
                (self._root / _folder(run_id)).mkdir(mode=OWNER_ONLY, exist_ok=True)
            try:
                obstore.put(self._store, key, content, mode="create")
            except AlreadyExistsError:
                if not self._holds(key, content):
                    log.warning("damaged_file_replaced", run_id=run_id, sha256=sha256)
                    obstore.put(self._store, key, content, use_multipart=False)
            except NotImplementedError:
                # A store that cannot create on condition: whoever was first has written the same.
                obstore.put(self._store, key, content, use_multipart=False)
            if self._root is not None:
                _keep(self._root / key)
        return sha256

    def get(self, run_id: int, sha256: str, size: int) -> bytes:
        """A whole file of this size. Raises FileDamagedError, FilesUnavailableError."""
        with _unavailable(), _damaged(run_id, sha256):
            found = obstore.get(self._store, _key(run_id, sha256))
            content = bytes(found.bytes()) if found.meta["size"] == size else None
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            raise FileDamagedError(run_id=run_id, sha256=sha256)
        return content

    def pieces(self, run_id: int, sha256: str, size: int) -> Iterator[bytes]:
        """A file of this size in pieces, each read by a call of its own, so that a slow reader holds no connection.

        The last piece comes only if all of them are what was stored. Raises FileDamagedError, FilesUnavailableError.
        """
        seen = hashlib.sha256()
        for start in range(0, size, PIECE_BYTES):
            piece = self._piece(run_id, sha256, start, size)
            seen.update(piece)
            if start + len(piece) == size and seen.hexdigest() != sha256:
                raise FileDamagedError(run_id=run_id, sha256=sha256)
            yield piece
        if size == 0 and seen.hexdigest() != sha256:
            raise FileDamagedError(run_id=run_id, sha256=sha256)

    def listed(self, run_id: int) -> Iterator[list[StoredFile]]:
        """The files of a run, some at a time, in any order. Raises FilesUnavailableError."""
        with _unavailable():
            for page in obstore.list(self._store, _folder(run_id), chunk_size=LISTED_AT_ONCE):
                yield [
                    StoredFile(name, found["size"], found["last_modified"])
                    for found in page
                    if _SHA256.fullmatch(name := found["path"].rpartition("/")[2])
                ]

    def delete(self, run_id: int, digests: Sequence[str]) -> None:
        """Delete these files of a run; one that is not there is no error. Raises FilesUnavailableError."""
        self._delete([_key(run_id, sha256) for sha256 in digests])

    def delete_some(self, run_id: int, at_most: int) -> int:
        """Delete so many files of a run; answers how many there were, 0 when nothing of the run is left."""
        with _unavailable():
            pages = obstore.list(self._store, _folder(run_id), chunk_size=at_most)
            keys = [found["path"] for page in islice(pages, 1) for found in page]
        self._delete(keys)
        if not keys and self._root is not None:
            with _unavailable():
                _remove_folder(self._root / _folder(run_id))
        return len(keys)

    def check(self) -> None:
        """Write, read and delete a small file. Raises FilesUnavailableError, FileDamagedError."""
        content = secrets.token_bytes(32)
        sha256 = self.put(_NO_RUN, content)
        try:
            self.get(_NO_RUN, sha256, len(content))
        finally:
            self.delete(_NO_RUN, [sha256])

    def _holds(self, key: str, content: bytes) -> bool:
        found = obstore.get(self._store, key)
        return found.meta["size"] == len(content) and bytes(found.bytes()) == content

    def _piece(self, run_id: int, sha256: str, start: int, size: int) -> bytes:
        key, length = _key(run_id, sha256), min(PIECE_BYTES, size - start)
        with _unavailable(), _damaged(run_id, sha256):
            try:
                piece = bytes(obstore.get_range(self._store, key, start=start, length=length))
            except GenericError:
                # A store says the same when it fails and when the file is too short.
                if obstore.head(self._store, key)["size"] == size:
                    raise
                piece = b""
        if len(piece) != length:
            raise FileDamagedError(run_id=run_id, sha256=sha256)
        return piece

    def _delete(self, keys: list[str]) -> None:
        with _unavailable():
            for start in range(0, len(keys), DELETED_AT_ONCE):
                some = keys[start : start + DELETED_AT_ONCE]
                try:
                    obstore.delete(self._store, some)
                except FileNotFoundError:
                    # A folder stops at the first that another process has deleted meanwhile.
                    for key in some:
                        with contextlib.suppress(FileNotFoundError):
                            obstore.delete(self._store, key)


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """Tell what the store answers instead of a file as FilesUnavailableError, whose cause says what it was."""
    try:
        yield
    except (BaseError, OSError) as failure:
        raise FilesUnavailableError from failure


@contextlib.contextmanager
def _damaged(run_id: int, sha256: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as failure:
        raise FileDamagedError(run_id=run_id, sha256=sha256) from failure


def _folder(run_id: int) -> str:
    return f"runs/{run_id:d}"


def _key(run_id: int, sha256: str) -> str:
    """Made of a number and hexadecimal digits alone: nothing that a caller could lead elsewhere."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError("not a SHA-256 in hexadecimal")
    return f"{_folder(run_id)}/{sha256}"


def _keep(path: Path) -> None:
    """Make a stored file its owner's alone, and have it and its name on the disk before any row names it."""
    path.chmod(OWNER_FILE)
    for place in (path, path.parent, path.parent.parent):
        _flush(place)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_folder(folder: Path) -> None:
    """Remove a run's folder, with what a process that was killed while it wrote has left there."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if _UNFINISHED in path.name:
                path.unlink(missing_ok=True)
        folder.rmdir()
